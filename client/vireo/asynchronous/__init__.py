"""The client for asyncio. `vireo/synchronous` is rendered from it."""
