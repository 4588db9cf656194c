"""Published checkpoints: read in a confined child process, published as a new version.

It may import `jobs` and `children`; torch only in the child.
"""
