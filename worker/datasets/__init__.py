"""From an uploaded archive to a labelled dataset in the store: unpack, list, inspect, report, split, publish.

It imports no torch. It may import `decoding` and `jobs`, never `inference`, `training` or `importing`.
"""
