"""The FastAPI gateway: routes, uploads, label sets, jobs. Never imports torch."""
