"""The `vireo` command. It may import the client library."""
