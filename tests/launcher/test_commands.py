"""The launcher's commands as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from launcher import sample_clip
from launcher.supervision.supervisor import _path_line
from vireo.cli.app import build_cli

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `vireo` in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(build_cli(), [*arguments])


def test_sample_writes_a_clip_and_says_what_to_ask(run: Run, tmp_path: Path) -> None:
    written = run("sample")
    assert written.exit_code == 0, written.output
    assert (tmp_path / "clip.mp4").stat().st_size > 1000
    assert f'vireo classify clip.mp4 --labels "{sample_clip.ANSWER}"' in written.stdout


def test_sample_replaces_no_file_unless_told_to(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.mp4").write_bytes(b"mine")
    refused = run("sample", "mine.mp4")
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert (tmp_path / "mine.mp4").read_bytes() == b"mine"
    assert run("sample", "mine.mp4", "--force").exit_code == 0
    assert (tmp_path / "mine.mp4").stat().st_size > 1000


@pytest.mark.parametrize(("name", "status"), [("clip.avi", 2), ("no/such/folder/clip.mp4", 1)])
def test_sample_into_a_file_that_cannot_be_written(run: Run, name: str, status: int) -> None:
    assert run("sample", name).exit_code == status


def test_doctor_says_where_nothing_answers(run: Run) -> None:
    done = run("doctor", "--url", "http://127.0.0.1:9")
    assert done.exit_code == 1
    assert "Nothing answers at http://127.0.0.1:9" in done.stdout


def test_the_line_that_puts_vireo_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is printed only if the shell does not find this installation's `vireo`."""
    bin_dir = tmp_path / "my dir (1)" / "bin"
    bin_dir.mkdir(parents=True)
    monkeypatch.setattr("sys.executable", str(bin_dir / "python"))
    monkeypatch.setenv("PATH", "/usr/bin")
    assert _path_line() == f"To use `vireo` in another terminal:  export PATH='{bin_dir}':$PATH"
    (bin_dir / "vireo").write_text("")
    (bin_dir / "vireo").chmod(0o755)
    monkeypatch.setenv("PATH", str(bin_dir))
    assert _path_line() is None


def test_plan_says_what_videos_need(run: Run) -> None:
    done = run("plan", "--videos-per-day", "100000", "--model", "lite", "--size", "640x360", "--host-cores", "4")
    assert done.exit_code == 0, done.output
    assert "100,000 videos per day are 1.16 per second, and 3.47 at the peak" in done.stdout
    assert "of 4 cores" in done.stdout
    as_json = json.loads(run("plan", "--videos-per-day", "100000", "--model", "lite", "--json").stdout)
    assert f"Cores: {as_json['cores']}, " in run("plan", "--videos-per-day", "100000", "--model", "lite").stdout


@pytest.mark.parametrize("wrong", [("--model", "no-such-model"), ("--size", "large"), ("--videos-per-day", "0")])
def test_plan_refuses_what_it_cannot_reckon(run: Run, wrong: tuple[str, str]) -> None:
    assert run("plan", "--videos-per-day", "10", "--model", "lite", *wrong).exit_code == 2
