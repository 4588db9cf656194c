"""From an uploaded archive to a labelled dataset in the store: unpack, list, inspect, report, split, publish. No
torch.

It may import `decoding` and `jobs`, never `training`.
"""
