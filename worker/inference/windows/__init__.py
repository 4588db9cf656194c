"""A video as windows at equal distances: one vector for each, and the timeline of labels that is made of them.

It may import the rest of `worker.inference` except `handlers`, `explanation` and `role`, and `models`.
"""
