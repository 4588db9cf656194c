"""The label doctor: what a model's text encoder makes of labels, before anything is asked. It may import the rest of
`worker.inference` except `role`, and `models`.
"""
