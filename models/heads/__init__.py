"""Few-shot heads on frozen features, in closed form: how they are fitted, judged by cross-validation, and written into
a tower that still takes any labels.

It may import `frames` and what lies below it.
"""
