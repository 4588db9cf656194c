"""Training and evaluation. `job` is the parent process. In the child, `process` holds the order of events, `run` the
parts of a run, `fit` the training loop and the closed form, `preview` what is known before training, `judging` the
evaluation, `result` the version and the report, and `calibration` how similarities become confidence. `spec` is what
the parent tells it, and `features` keeps what frozen trunks made of clips.

It may import `decoding`, `jobs`, `children` and `models`. Inside: features ← spec ← run ← fit ← preview ← judging ←
result ← calibration ← process; job ← spec.
"""
