"""The client for asyncio. `vireo/synchronous` is rendered from it.

Rendered from vireo/asynchronous by docs/render.py.
"""
