"""Which files of an archive are clips and what their labels are, by a manifest or by folder names.

It may import `datasets.archives` and `datasets.labels`.
"""
