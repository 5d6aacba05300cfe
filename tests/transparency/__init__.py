"""What `make transparency` runs: other people's tests, validators and applications, behind ours."""
