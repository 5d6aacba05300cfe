"""The programs that `make matrix-servers` runs: every server, every framework, real sockets."""
