"""What the server answers and what it takes, as types. Every module but `result` is rendered from its description."""
