"""What a training run is made of: configuration, data division, clip order, feeds, encoding.

It may import `spec`, `decoding`, `children` and `models`.
"""
