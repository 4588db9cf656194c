"""The client for asyncio and trio. `vireo/synchronous` is rendered from it.

Rendered from vireo/asynchronous by docs/render.py.
"""
