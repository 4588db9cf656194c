"""Jobs: submitted, sent to their queue, waited for, followed, listed, cancelled.

It may import `http`, `ops` and `bodies`.
"""
