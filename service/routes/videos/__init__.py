"""/v1/videos: stored videos, and questions about them.

It may import `routes.classify` and what lies below the routes.
"""

from __future__ import annotations

from fastapi import APIRouter

from service.routes.videos import batches, feedback, questions, search, stored

ROUTERS: tuple[APIRouter, ...] = (stored.router, questions.router, search.router, batches.router, feedback.router)
