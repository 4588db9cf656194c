"""Request bodies: their schemas, and reading them from JSON (with a video in base64), forms and multipart streams.

It imports no other folder of `service`.
"""
