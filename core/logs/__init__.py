"""The log lines of all processes: their two forms, the request and the job that a line belongs to, and no secrets.

It may import `settings`.
"""
