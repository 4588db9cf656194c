"""What the gateway and the workers share: settings, errors, records, storage, the model registry, metrics.

It imports no other room, no torch and no FastAPI.
"""
