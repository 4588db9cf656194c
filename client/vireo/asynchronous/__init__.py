"""The client for asyncio and trio. `vireo/synchronous` is rendered from it."""
