"""Which files of an archive are clips, and their labels: from a manifest or from folder names.

It may import `archives`.
"""
