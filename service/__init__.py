"""The FastAPI gateway. It imports `core` only: no torch, no models, no worker."""
