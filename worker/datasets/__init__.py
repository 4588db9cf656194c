"""From an uploaded archive to a labelled dataset in the store. Runs in a light worker process: no torch in here.

archive ▸ unpack (in a child that can be killed) ▸ list the clips and their labels ▸ decode a few frames of each ▸
report ▸ split ▸ publish
"""
