"""Rendered blocks say what the code says, and they say all of it."""

from __future__ import annotations

import re
import shutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, get_args

import pytest
from pydantic import BaseModel, Field
from render import main

from core.datasets import FindingCode
from core.prometheus import exposition
from rendering.block import Block, MissingMarkers, stale
from rendering.blocks import BLOCKS
from rendering.commands import WIDTH, help_texts
from rendering.fields import fields_table
from rendering.markdown import table
from rendering.metrics import series
from rendering.routes import routes_table
from service.ops.queue_metrics import QueueSnapshot
from service.ops.redis_memory import RedisMemory
from tests.docs.pages import ROOT
from vireo.cli.app import build_cli


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of every page that has rendered blocks."""
    for page in {block.page for block in BLOCKS}:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / page, tmp_path / page)
    return tmp_path


def test_no_block_is_stale() -> None:
    assert [str(block) for block in stale(ROOT, BLOCKS)] == [], "run `make docs`"


def test_a_changed_block_is_named_and_rendered_anew(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = copy / "docs" / "configuration.md"
    fresh = page.read_text(encoding="utf-8")
    page.write_text(fresh.replace("| `VIREO_PORT` | `8000` |", "| `VIREO_PORT` | `8001` |"), encoding="utf-8")
    assert main(["--check", "--root", str(copy)]) == 1
    assert capsys.readouterr().err.splitlines()[0] == "docs/configuration.md: settings is stale."
    assert main(["--root", str(copy)]) == 0
    assert page.read_text(encoding="utf-8") == fresh
    assert main(["--check", "--root", str(copy)]) == 0


def test_a_page_without_markers_is_stale_and_cannot_be_written(copy: Path) -> None:
    page = copy / "docs" / "metrics.md"
    page.write_text(page.read_text(encoding="utf-8").replace("<!-- rendered: metrics -->", ""), encoding="utf-8")
    assert [str(block) for block in stale(copy, BLOCKS)] == ["docs/metrics.md: metrics"]
    with pytest.raises(MissingMarkers, match=r"docs/metrics.md lacks"):
        main(["--root", str(copy)])


def test_text_around_a_block_stays() -> None:
    block = Block("page.md", "b", lambda: "new")
    text = "before\n<!-- rendered: a -->\nold\n<!-- end -->\n<!-- rendered: b -->\nold\n<!-- end -->\nafter\n"
    assert block.insert(text) == text.replace("b -->\nold", "b -->\nnew")


def test_every_marker_in_a_page_has_a_block() -> None:
    """Otherwise its text would look rendered and never be checked."""
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
        for name in re.findall(r"<!-- rendered: ([\w-]+) -->", path.read_text(encoding="utf-8"))
    }
    assert found == {(block.page, block.name) for block in BLOCKS if block.page.endswith(".md")}


def test_every_metric_that_is_exported_is_in_the_table() -> None:
    """Names and types as a scrape shows them."""
    body, _ = exposition(QueueSnapshot(memory=RedisMemory()))
    exported = {
        (name, kind)
        for name, kind in re.findall(r"^# TYPE (vireo_\w+) (\w+)$", body.decode(), re.MULTILINE)
        if not name.endswith("_created")
    }
    assert exported == {(metric.name, metric.type) for metric in series()}


def test_labels_of_metrics_are_in_the_table() -> None:
    labels = {metric.name: metric.labels for metric in series()}
    assert labels["vireo_stage_seconds"] == ("stage",)
    assert labels["vireo_workers"] == ("queue", "state")
    assert labels["vireo_redis_up"] == ()


def test_every_route_is_in_the_table() -> None:
    """As many as the sources declare. The files of the pages, declared in a loop, are hidden from the document."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "service" / "routes").rglob("*.py"))
    declared = re.findall(r"^@router\.(?:get|post|put|patch|delete)\(", sources, re.MULTILINE)
    rows = routes_table().splitlines()[2:]
    assert len(rows) == len(set(rows)) == len(declared)


def test_the_table_of_findings_lists_every_code_once() -> None:
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    section = text.partition("| finding | severity |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == sorted(get_args(FindingCode))


def test_help_is_plain_text_of_a_fixed_width(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = help_texts(build_cli())
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("VIREO_URL", "http://127.0.0.1:1")
    texts = help_texts(build_cli())
    assert texts == expected
    assert {"vireo", "vireo up", "vireo doctor", "vireo classify", "vireo train"} <= set(texts)
    lines = [line for text in texts.values() for line in text.splitlines()]
    assert max(map(len, lines)) in range(WIDTH - 10, WIDTH + 1)
    assert [line for line in lines if "\x1b" in line or "─" in line] == []


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    number: int = 0


class Request(BaseModel):
    name: Annotated[str, Field(max_length=20, description="A | B.")]
    count: int | None = Field(None, ge=1, lt=1 << 31)
    share: float | tuple[str, ...] = 0.5
    colour: Colour = Colour.RED
    size: Literal["small", "large"] | None = None
    fixed: Literal[1] = 1
    parts: list[Inner] = []
    on: bool = True


def test_fields_show_type_bounds_default_and_description() -> None:
    assert fields_table(Request).splitlines() == [
        "| field | type | default | what it is |",
        "|---|---|---|---|",
        "| `name` | string, ≤ 20 characters | required | A \\| B. |",
        "| `count` | integer, ≥ 1, < 2,147,483,648 | – |  |",
        "| `share` | number or list of string | `0.5` |  |",
        "| `colour` | `red`, `blue` | `red` |  |",
        "| `size` | `small`, `large` | – |  |",
        "| `fixed` | `1` | `1` |  |",
        "| `parts` | list of Inner | empty |  |",
        "| `on` | boolean | `true` |  |",
    ]


def test_fields_of_answers_have_no_default() -> None:
    assert fields_table(Inner, defaults=False).splitlines()[2:] == ["| `number` | integer |  |"]
    assert fields_table(Request, without=[*Request.model_fields][1:]).count("\n") == 2


def test_every_field_in_the_docs_is_described() -> None:
    """An empty last cell is a field without a description, a route without a docstring or a metric without help."""
    empty = [
        f"{block}: {line}"
        for block in BLOCKS
        if block.name not in ("recipes", "vifi-recipes", "errors", "commands", "import-rules")
        for line in block.render().splitlines()
        if line.endswith("|  |")
    ]
    assert empty == []


def test_cells_cannot_break_a_table() -> None:
    assert table(["a"], [["x | y\nz"]]) == "| a |\n|---|\n| x \\| y z |"
