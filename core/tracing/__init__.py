"""Traces for OpenTelemetry, from a request over the queue to the stages of its job. Nothing is traced unless they are
configured.

It may import `errors`.
"""
