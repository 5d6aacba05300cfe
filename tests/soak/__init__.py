"""Several processes, real stores, and everything that goes wrong between them."""
