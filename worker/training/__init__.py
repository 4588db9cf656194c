"""Training and evaluation: `job` is the parent, `process` the child, `run` the training loop, `judging` the
evaluation, `result` what is published.

It may import `decoding`, `jobs`, `children` and `models`.
"""
