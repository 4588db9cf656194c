"""The page: served whole, bound to this server by its policy, and made of routes that exist."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi.testclient import TestClient

from core.settings import Settings
from service.app import create_app


def test_the_page_loads_nothing_from_elsewhere_and_asks_known_routes(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    answer = TestClient(app).get("/")  # without its lifespan: the page needs no Redis
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert re.findall(r"https?://", answer.text) == []
    for route in re.findall(r'fetch\("(/[^"]*)"', answer.text):
        assert route in app.openapi()["paths"]
