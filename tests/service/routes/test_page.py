"""The web page: its files are served, its policy allows no inline code and no other host, and it calls known routes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args
from urllib.parse import urljoin

import pytest
from fastapi.testclient import TestClient

from core.settings import Settings
from core.training_requests import TrainingRequest
from core.vocabulary import METHOD_RECIPES, MethodName, TemporalKind, TunedPart
from service.app import create_app

VIEWS = {"/": "ask.js", "/teach": "teach.js", "/labels": "labels.js"}
FOLDER = Path(__file__).parents[3] / "service" / "page"


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    return TestClient(
        create_app(Settings(data_dir=tmp_path)), base_url="http://127.0.0.1"
    )  # without its lifespan: the page needs no Redis


def assets(page: str) -> list[str]:
    return re.findall(r'(?:<link[^>]*href|<script[^>]*src)="([^"]*)"', page)


def modules(client: TestClient) -> dict[str, str]:
    """Path → text, of the scripts of the page: its own, and those that they import."""
    found: dict[str, str] = {}
    paths = [path for view in VIEWS for path in assets(client.get(view).text) if path.endswith(".js")]
    while paths:
        path = paths.pop()
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith("text/javascript"), path
        found[path] = answer.text
        imported = [urljoin(path, name) for name in re.findall(r'from "(\.[^"]+)"', answer.text)]
        paths += [each for each in imported if each not in found]
    return found


def test_the_files_of_the_page_are_served_with_their_types(client: TestClient) -> None:
    for view, script in VIEWS.items():
        page = client.get(view)
        assert page.headers["content-type"].startswith("text/html")
        assert assets(page.text) == ["/page/icon.svg", "/page/style.css", f"/page/{script}"]
    assert client.get("/page/style.css").headers["content-type"].startswith("text/css")
    written = {f"/page/{path.relative_to(FOLDER)}" for path in FOLDER.rglob("*.js") if path.parent.name != "docs"}
    assert set(modules(client)) == written  # nothing lies there unused


def test_the_page_has_no_inline_code_and_loads_nothing_from_other_hosts(client: TestClient) -> None:
    pages = [client.get(view) for view in VIEWS]
    for page in pages:
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert re.findall(r"<style|<script(?![^>]* src=)|\sstyle=|\son\w+=", page.text) == []
    texts = [*(page.text for page in pages), client.get("/page/style.css").text, *modules(client).values()]
    named = {address for text in texts for address in re.findall(r"https?://[^\"\s]*", text)}
    assert named == {"http://www.w3.org/2000/svg", "https://example.org/clip.mp4"}  # a vocabulary, and a placeholder


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


def test_the_scripts_find_their_elements_and_call_known_routes(client: TestClient) -> None:
    scripts = "".join(modules(client).values())
    ids = set(re.findall(r'\$\("([\w-]+)"\)', scripts))
    assert ids
    assert ids <= {name for view in VIEWS for name in re.findall(r'\sid="([\w-]+)"', client.get(view).text)}
    document = client.get("/openapi.json").json()
    routes = re.findall(r'["`](/v1/[^"`]*)', scripts)
    assert len(routes) >= 6
    known = re.compile("|".join(re.sub(r"\{\w+\}", "[^/]+", path) for path in document["paths"]))
    called = [re.sub(r"\$\{[^}]*\}", "x", route.partition("?")[0]) for route in routes]
    actions = {route for route in called if route.startswith("/v1/training-jobs/x/")}  # whose name is a variable
    assert [route for route in called if route not in actions and not known.fullmatch(route)] == []
    assert not any(path.startswith("/page") for path in document["paths"])


def test_the_training_form_offers_what_a_training_request_can_have(client: TestClient) -> None:
    form, script = client.get("/teach").text, client.get("/page/teach/runs.js").text

    def options(field: str) -> list[str]:
        (select,) = re.findall(rf'<select id="{field}">(.*?)</select>', form, flags=re.DOTALL)
        pairs = re.findall(r'<option(?: value="([^"]*)")?>([^<]*)<', select)
        return [value or text for value, text in pairs if value or not text.startswith("the ")]

    assert sorted(options("method")) == sorted(get_args(MethodName))
    assert sorted(options("temporal")) == sorted(get_args(TemporalKind))
    assert sorted(options("tune")) == sorted(get_args(TunedPart))
    (recipes,) = re.findall(r"const RECIPES = (\{.*?\});", script, flags=re.DOTALL)
    written = json.loads(re.sub(r",(\s*[\]}])", r"\1", re.sub(r"(\w+):", r'"\1":', recipes)))
    assert written == {method: [*names][1:] for method, names in METHOD_RECIPES.items()}
    named = [json.loads(names) for names in re.findall(r"const (?:TEXTS|NUMBERS) = (\[.*?\]);", script)]
    assert {name for names in named for name in names} <= set(TrainingRequest.model_fields)
    assert all(f'id="{name}"' in form for names in named for name in names)
