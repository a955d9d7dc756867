"""The ledger as pages in a browser of this machine (extra ``web``)."""
