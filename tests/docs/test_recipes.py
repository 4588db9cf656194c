"""Documentation is an artefact under test: settings, errors, metrics, routes and models appear, and tables are
fresh.
"""

from __future__ import annotations

import re
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from prometheus_client import REGISTRY

import core.prometheus as _declared  # the metrics register themselves
from core.datasets import FindingCode
from core.registry import Card
from core.settings import Settings
from core.training_requests import TrainingRequest
from models.fitting.recipes import RECIPES
from models.profiles import zoo
from service.app import create_app

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_rendered_tables_are_fresh() -> None:
    render: dict[str, Any] = runpy.run_path(str(DOCS / "render.py"))
    for file, name, table in render["TABLES"]:
        assert render["rendered"](page(file), name, table()) == page(file), f"run `make docs`: docs/{file} is stale"


def test_every_metric_is_described() -> None:
    assert _declared.HTTP_REQUESTS is not None
    names = {
        name.removesuffix("_created")
        for metric in REGISTRY.collect()
        for name in [metric.name + ("_total" if metric.type == "counter" else "")]
        if name.startswith("vireo_")
    }
    assert len(names) > 10
    assert {name for name in names if f"`{name}`" not in page("metrics.md")} == set()


def test_every_route_is_described(tmp_path: Path) -> None:
    paths = create_app(Settings(data_dir=tmp_path)).openapi()["paths"]
    assert "/v1/classify" in paths
    assert {path for path in paths if path not in page("api.md")} == set()


def test_every_finding_is_explained() -> None:
    assert {code for code in get_args(FindingCode) if f"| `{code}` |" not in page("training.md")} == set()


def test_every_field_of_a_training_job_is_explained() -> None:
    """And of a version's card."""
    asked = {name for name in TrainingRequest.model_fields if f"`{name}`" not in page("training.md")}
    kept = {name for name in Card.model_fields if f"| `{name}` |" not in page("training.md")}
    assert (asked, kept) == (set(), set())


def test_every_difference_between_recipes_is_in_the_table_with_a_reason() -> None:
    render: dict[str, Any] = runpy.run_path(str(DOCS / "render.py"))
    default = RECIPES["default"]
    for other in (RECIPES["text4vis-paper"], RECIPES["text4vis-code"], default.for_base("lite")):
        fields = {name: getattr(other, name) for name in other.to_dict() if name not in ("name", "ensemble")}
        for name, value in fields.items():
            if value != getattr(default, name):
                changed = replace(default, **{name: value})
                assert [words for words, show, _ in render["ROWS"] if show(changed) != show(default)], name
    rows = [line.split(" | ") for line in render["recipes_table"]().splitlines()[2:]]
    assert [row[0] for row in rows if len(set(row[1:4])) > 1 and not row[4].strip(" |")] == []


def test_every_model_is_described() -> None:
    assert {name for name in zoo.names() if f"`{name}`" not in page("models.md")} == set()


@pytest.mark.parametrize(
    "file", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *sorted(p.name for p in DOCS.glob("*.md"))]
)
def test_links_lead_somewhere(file: str) -> None:
    path = ROOT / file if (ROOT / file).exists() else DOCS / file
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_modules_and_functions_stay_small() -> None:
    """No module above 400 lines: a room that gets crowded is split by noun."""
    sources = [
        path for room in ("core", "models", "worker", "service", "client") for path in (ROOT / room).rglob("*.py")
    ]
    assert {str(path): n for path in sources if (n := len(path.read_text().splitlines())) > 400} == {}
