"""What a worker and its child processes share: their environment and confinement, messages on standard output, and the
list of installed packages.

It imports `core` only.
"""
