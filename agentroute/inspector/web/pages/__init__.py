"""One file a page: from a request's query to sections."""
