"""One application for each framework, with the middleware put in as its documentation says."""
