"""Child processes of a worker: how they are started and what they say on standard output.

It imports `core` only.
"""
