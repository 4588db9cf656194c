"""How arguments are parsed, before anything is sent."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from vireo.cli import app
from vireo.cli.app import build_cli
from vireo.cli.arguments import parse_labels, spread_labels
from vireo.cli.console import default_url, program
from vireo.cli.follow import duration
from vireo.cli.many_videos import video_argument


def test_every_word_up_to_the_next_option_is_a_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside a folder of classes the labels are names of folders."""
    (tmp_path / "lunge").mkdir()
    monkeypatch.chdir(tmp_path)
    arguments = ["classify", "clip.mp4", "--labels", "squat", "lunge", "--json"]
    assert spread_labels(arguments) == [
        "classify", "clip.mp4", "--labels", "squat", "--labels", "lunge", "--json",
    ]  # fmt: skip


def test_files_before_labels_stay_files() -> None:
    arguments = ["classify", "x.mp4", "--labels", "a", "--labels", "b", "c", "--top-k", "2"]
    assert spread_labels(arguments) == [
        "classify", "x.mp4", "--labels", "a", "--labels", "b", "--labels", "c", "--top-k", "2",
    ]  # fmt: skip
    assert spread_labels(["classify", "--labels", "a", "b", "--", "x.mp4"])[-2:] == ["--", "x.mp4"]
    assert spread_labels(["classify", "--labels=a.mp4", "x.mp4"])[1:] == ["--labels=a.mp4", "x.mp4"]


@pytest.mark.parametrize("word", ["clip.mp4", "my/CLIP.MOV", "https://example.org/a"])
def test_a_video_behind_labels_is_not_eaten(word: str) -> None:
    with pytest.raises(typer.BadParameter, match="looks like a video"):
        spread_labels(["classify", "--labels", "a cat", word])


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


def test_only_a_whole_id_is_a_stored_video() -> None:
    """A file may be called vid_20240101.mp4."""
    stored = "vid_" + "0a" * 32
    assert video_argument(stored) == {"video_id": stored}
    for path in ("vid_20240101.mp4", "vid_", f"./{stored}", f"{stored}.mp4", "clip.mp4"):
        assert video_argument(path) == {"video": Path(path)}
    for url in ("http://example.org/a.mp4", "https://example.org/a.mp4"):
        assert video_argument(url) == {"video_url": url}


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


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
