"""What a worker and its child processes share: fork servers, which start children in milliseconds; channels for
messages and open files; the children's environment and confinement; messages on standard output; and the list of
installed packages.

It imports `core` only.
"""
