"""How arguments are parsed, before anything is sent."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from vireo.cli import app
from vireo.cli.app import build_cli, spread_labels
from vireo.cli.commands.classify import parse_labels
from vireo.cli.console import default_url, program
from vireo.cli.follow import duration


def test_labels_end_at_a_file_or_an_option(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.touch()
    arguments = ["classify", "--labels", "a cat", "a dog", str(clip), "other.mp4", "--json"]
    assert spread_labels(arguments) == [
        "classify", "--labels", "a cat", "--labels", "a dog", str(clip), "other.mp4", "--json",
    ]  # fmt: skip


def test_files_before_labels_stay_files() -> None:
    arguments = ["classify", "x.mp4", "--labels", "a", "--labels", "b", "c", "--top-k", "2"]
    assert spread_labels(arguments) == [
        "classify", "x.mp4", "--labels", "a", "--labels", "b", "--labels", "c", "--top-k", "2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        ("a cat", ["a cat"]),
        ("a cat, a dog,a bird", ["a cat", "a dog", "a bird"]),
        ('["one, two", "three"]', ["one, two", "three"]),
    ],
)
def test_ways_to_write_labels(value: str, labels: list[str]) -> None:
    assert parse_labels(value) == labels


def test_labels_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("a cat\n\n  riding, fast \n", encoding="utf-8")
    assert parse_labels(f"@{file}") == ["a cat", "riding, fast"]


@pytest.mark.parametrize("value", ['["a"', "[1, 2]", "@/no/such/file"])
def test_unreadable_labels_are_refused(value: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_labels(value)


def test_a_server_command_that_cannot_be_loaded_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("up", "no_such_package.commands:up", app.SERVER_COMMANDS)
    monkeypatch.setattr(app, "entry_points", lambda **_: [broken])
    listed = CliRunner().invoke(build_cli(), ["--help"])
    assert listed.exit_code == 0, listed.output
    assert "classify" in listed.stdout
    assert "no_such_package" in CliRunner().invoke(build_cli(), ["up", "--help"]).stdout
    refused = CliRunner().invoke(build_cli(), ["up"])
    assert refused.exit_code == 1
    assert "No module named 'no_such_package'" in " ".join(refused.stderr.split())


@pytest.mark.parametrize(
    ("typed", "on_path", "shown"),
    [
        (".venv/bin/vireo", False, ".venv/bin/vireo"),
        (".venv/bin/vireo", True, "vireo"),
        ("my dir (1)/bin/vireo", False, "'my dir (1)/bin/vireo'"),
        ("/usr/bin/pytest", False, "vireo"),
    ],
)
def test_suggested_commands_can_be_typed_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, on_path: bool, shown: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if not typed.startswith("/"):
        (tmp_path / typed).parent.mkdir(parents=True)
        (tmp_path / typed).touch(mode=0o755)
    monkeypatch.setattr("sys.argv", [typed])
    monkeypatch.setenv("PATH", str((tmp_path / typed).parent) if on_path else "/nowhere")
    assert program() == shown


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"VIREO_HOST": "", "VIREO_PORT": ""}, "http://127.0.0.1:8000"),
        ({"VIREO_HOST": "0.0.0.0", "VIREO_PORT": "8123"}, "http://127.0.0.1:8123"),
        ({"VIREO_HOST": "::"}, "http://127.0.0.1:8000"),
        ({"VIREO_HOST": "::1"}, "http://[::1]:8000"),
        ({"VIREO_HOST": "gpu.example.org"}, "http://gpu.example.org:8000"),
    ],
)
def test_the_address_of_the_service_that_runs_here(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str
) -> None:
    for name in ("VIREO_HOST", "VIREO_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_url() == url


@pytest.mark.parametrize("ref", ["gym", "@production", "gym@", "@"])
def test_an_alias_needs_a_name_and_a_label(ref: str) -> None:
    refused = CliRunner().invoke(build_cli(), ["alias", ref, "1", "--url", "http://127.0.0.1:9"])
    assert refused.exit_code == 2
    assert "NAME@ALIAS" in refused.stderr


def test_an_error_ends_a_command_with_status_1() -> None:
    refused = CliRunner().invoke(build_cli(), ["models", "--url", "http://127.0.0.1:9"])
    assert refused.exit_code == 1
    assert "Nothing answers" in refused.stderr


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
