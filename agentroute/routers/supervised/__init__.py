"""Parts of the supervised router: text as columns, heads that learn, calibration of both."""
