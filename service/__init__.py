"""The FastAPI gateway. Of the other rooms it imports only `core`: no torch, no models, no worker."""
