"""Image towers: from pixels to frame features, convolutions over time inside a tower, device and precision.

It may import `weights`, `profiles` and `frames`.
"""
