"""From frame features to scores: temporal heads, the video model, the recogniser, scoring.

It may import `image`, `text`, `classifier` and what lies below them.
"""
