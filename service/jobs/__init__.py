"""Jobs as the gateway sees them: created, sent, waited for, followed, listed, cancelled.

It may import `http`, `ops`, `bodies` and `uploads`.
"""
