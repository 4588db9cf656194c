"""Vireo from Python: `Client("http://127.0.0.1:8000").classify("clip.mp4", ["riding a bicycle", "a cat"])`.

The library speaks HTTP only and needs no part of the server.
"""

from __future__ import annotations

from vireo.client import Client
from vireo.errors import VireoError
from vireo.events import Event

__all__ = ["Client", "Event", "VireoError"]
