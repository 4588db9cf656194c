"""From the bytes of a video file to frames: container, packets, timeline, codec, colour, one clip.

No torch and no Redis. It may import `core.errors`, `models.frames` and `models.profiles`.
"""
