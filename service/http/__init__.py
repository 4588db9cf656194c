"""What all HTTP requests and answers share: error envelope, middleware, OpenAPI, preference headers, file downloads.

It may import `ops` and `bodies`.
"""
