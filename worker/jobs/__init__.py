"""The life of a job in a worker: start, lease, cancel, report, finish. This room knows no kind of work.

It imports `core` only.
"""
