"""Jobs: submitted, sent to their queue, waited for, followed, listed, cancelled, and their ends announced.

It may import `http`, `ops` and `bodies`.
"""
