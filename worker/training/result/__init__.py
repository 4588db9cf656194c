"""The result of a run: the version, and the report as JSON, pictures and one page.

It may import `judging`, `fit` and `run`.
"""
