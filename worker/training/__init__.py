"""Training and evaluation. `job` is the parent process. In the child, `process` holds the order of events, `run` the
parts of a run, `fit` the training loop and the closed form, `preview` what is known before training, `judging` the
evaluation, and `result` the version and the report. `spec` is what the parent tells it.

It may import `decoding`, `jobs`, `children` and `models`. Inside: spec ← run ← fit ← preview ← judging ← result ←
process; job ← spec.
"""
