"""What the gateway and the workers agree on: settings, errors, records, storage, the registry, metric names.

It imports no other room, no torch and no FastAPI.
"""
