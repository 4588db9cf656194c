"""What is stored and can be named: videos, label sets, datasets, models, reports.

It may import `jobs` and what lies below it.
"""
