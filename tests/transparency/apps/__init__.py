"""Other people's applications: `create(folder)` returns one, which knows the session as it can."""
