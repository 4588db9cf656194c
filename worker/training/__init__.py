"""Training and evaluation. `job` is the parent process. In the child, `process` holds the order of events, `run` the
parts of a run, `fit` the training loop, `judging` the evaluation, and `result` the version and the report. `spec` is
what the parent tells it.

It may import `decoding`, `jobs`, `children` and `models`. Inside: spec ← run ← fit ← judging ← result ← process;
job ← spec.
"""
