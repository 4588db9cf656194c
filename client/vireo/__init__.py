"""The Python client and the `vireo` command. Speaks HTTP only."""
