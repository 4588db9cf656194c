"""What a training run is made of: configuration, data division, clip order, feeds, the loop, checkpoints.

It may import `spec`, `decoding`, `children` and `models`.
"""
