"""One task to its end: decide, call, and on failure retry, fall back, choose again or give up."""
