"""The `vireo` command line. It may import the client library, and nothing of the server."""
