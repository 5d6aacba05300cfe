"""Mutation testing: small faults in the library, each of which some test must notice."""
