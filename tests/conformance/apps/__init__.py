"""The applications, one for each framework, with the middleware put in as its documentation says."""
