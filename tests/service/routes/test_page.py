"""The web page: its files are served, its policy allows no inline code and no other host, and it calls known routes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from core.settings import Settings
from service.app import create_app


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    return TestClient(
        create_app(Settings(data_dir=tmp_path)), base_url="http://127.0.0.1"
    )  # without its lifespan: the page needs no Redis


def assets(page: str) -> list[str]:
    return re.findall(r'(?:<link[^>]*href|<script[^>]*src)="([^"]*)"', page)


def test_the_files_of_the_page_are_served_with_their_types(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert assets(page.text) == ["/page/style.css", "/page/app.js"]
    types = [client.get(path).headers["content-type"] for path in assets(page.text)]
    assert [each.partition(";")[0] for each in types] == ["text/css", "text/javascript"]


def test_the_page_has_no_inline_code_and_loads_nothing_from_other_hosts(client: TestClient) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"<style|<script(?![^>]* src=)|\sstyle=|\son\w+=", page.text) == []
    for path in ("/", *assets(page.text)):
        assert re.findall(r"https?://", client.get(path).text) == []


def test_the_docs_are_served_whole_and_name_no_other_host(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert re.findall(r"https?://", page.text) == []
    assert re.findall(r"<style|<script(?![^>]* src=)|\sstyle=|\son\w+=", page.text) == []
    loaded = assets(page.text)
    assert len(loaded) == 3
    for path in loaded:
        asset = client.get(path)
        assert asset.status_code == 200, path
        assert asset.headers["content-type"].startswith(("text/javascript", "text/css")), path
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    script = client.get("/docs/docs.js").text
    (document,) = re.findall(r'url: "([^"]*)"', script)
    assert client.get(document).json()["openapi"].startswith("3.")
    (element,) = re.findall(r'dom_id: "#(\w+)"', script)
    assert f'id="{element}"' in page.text


def test_the_script_finds_its_elements_and_calls_known_routes(client: TestClient) -> None:
    script = client.get("/page/app.js").text
    ids = set(re.findall(r'\$\("(\w+)"\)', script))
    assert ids
    assert ids <= set(re.findall(r'\sid="(\w+)"', client.get("/").text))
    document = client.get("/openapi.json").json()
    routes = re.findall(r'fetch\(["`](/[^"`]*)', script)
    assert len(routes) >= 4
    for route in routes:
        assert re.sub(r"\$\{\w+\}", "{id}", route.partition("?")[0]) in document["paths"]
    assert not any(path.startswith("/page") for path in document["paths"])
