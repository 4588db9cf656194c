"""Renders the modules of the client that say what the server's OpenAPI description says, and the synchronous client."""
