"""The Python client of Vireo: `Client("http://127.0.0.1:8000").classify("clip.mp4", ["riding a bicycle", "a cat"])`.

The client talks to a Vireo server over HTTP. It imports no part of the server, and neither torch nor numpy.
"""

from __future__ import annotations

from vireo.asynchronous.client import AsyncClient
from vireo.asynchronous.jobs import AsyncJob
from vireo.errors import ConnectionFailed, VireoError
from vireo.events import Event
from vireo.synchronous.client import Client
from vireo.synchronous.jobs import Job

__all__ = ["AsyncClient", "AsyncJob", "Client", "ConnectionFailed", "Event", "Job", "VireoError"]
