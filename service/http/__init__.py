"""What every HTTP answer has in common: the error envelope, middleware, OpenAPI, request headers.

It may import `ops`, `bodies` and `uploads`.
"""
