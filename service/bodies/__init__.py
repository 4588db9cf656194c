"""Request bodies: their schemas, and reading them from JSON, forms and multipart streams.

It may import `uploads`.
"""
