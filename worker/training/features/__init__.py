"""Frozen features of dataset clips, kept on this machine from run to run.

It may import `decoding` and `models`; `files` imports no torch, because the parents of children sweep with it.
"""
