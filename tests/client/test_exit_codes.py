"""Every kind of failure has an exit status, a sentence on stderr, and with `--json` its envelope on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from core import errors
from tests.client.conftest import Run
from tests.client.servers import Reply, scripted
from tests.client.test_client import folder
from tests.service.doubles import answering
from tests.service.sites import VIDEO, Site
from tests.waiting import wait_until
from vireo.cli.app import build_cli
from vireo.cli.exit_codes import MEANINGS, Exit

NOBODY = "http://127.0.0.1:9"


def commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command, at any depth."""
    below = getattr(command, "commands", {})
    for each, found in below.items():
        yield from commands(found, f"{name} {each}".strip())
    if not below:
        yield name, command


COMMANDS = dict(commands(get_command(build_cli())))


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"up"}))
def test_every_command_speaks_json(name: str) -> None:
    options = [word for option in COMMANDS[name].params for word in option.opts]
    assert "--json" in options


def envelope(output: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output)["error"]
    assert set(found) == {"code", "message", "hint", "request_id", "details"}
    return found


def test_refused_by_the_server(run: Run, site: Site) -> None:
    done = run("videos", "show", "vid_" + "0" * 64)
    assert (done.exit_code, done.stdout) == (Exit.REFUSED, "")
    sentence, *hint = done.stderr.strip().splitlines()
    assert sentence.endswith(".")
    assert " ".join(hint).strip()
    done = run("videos", "show", "vid_" + "0" * 64, "--json")
    assert (done.exit_code, envelope(done.stdout)["code"]) == (Exit.REFUSED, "unknown_video")


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vireo.synchronous.connection.sleep", lambda _: None)
    done = CliRunner().invoke(build_cli(), ["models", "--url", NOBODY])
    assert done.exit_code == Exit.UNREACHABLE
    assert f"Nothing answers at {NOBODY}." in done.stderr
    assert "vireo up" in done.stderr
    done = CliRunner().invoke(build_cli(), ["models", "--json", "--url", NOBODY])
    assert envelope(done.stdout)["code"] == "connection_failed"


def test_the_command_line_is_wrong() -> None:
    for arguments in (
        ["classify"],
        ["videos", "nonsense"],
        ["nonsense"],
        ["labels", "check"],
        ["jobs", "--limit", "0"],
    ):
        assert CliRunner().invoke(build_cli(), arguments).exit_code == Exit.USAGE


def test_a_job_that_failed(run: Run, redis_url: str, tmp_path: Path) -> None:
    error = errors.InvalidDataset("Nothing can be trained on it.", report=[])
    with answering(redis_url, lambda _: error, "datasets"):
        done = run("dataset", "add", str(folder(tmp_path / "gym")), "--json")
    assert done.exit_code == Exit.JOB_FAILED
    assert envelope(done.stdout)["code"] == "invalid_dataset"


def test_one_video_and_several(run: Run, redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(VIDEO)
    missing, there = str(tmp_path / "missing.mp4"), str(tmp_path / "clip.mp4")
    assert run("classify", missing, "--labels", "a cat").exit_code == Exit.FAILED
    with answering(redis_url):
        done = run("classify", missing, there, "--labels", "a cat", "--json")
    assert done.exit_code == Exit.FAILED
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["file"] == missing
    assert "There is no file" in first["error"]["message"]
    assert second["predictions"][0]["label"] == "a cat"


def test_a_busy_server(run: Run, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vireo.synchronous.connection.sleep", lambda _: None)
    (tmp_path / "clip.mp4").write_bytes(VIDEO)
    done = run("classify", str(tmp_path / "clip.mp4"), "--labels", "a cat")  # no worker
    assert done.exit_code == Exit.BUSY
    assert done.stderr.count("Again in") == 3


def test_ctrl_c(run: Run, redis_url: str, tmp_path: Path, ctrl_c: Any) -> None:
    (tmp_path / "clip.mp4").write_bytes(VIDEO)
    with answering(redis_url, lambda _: None) as worker:
        thread = ctrl_c(lambda: worker.seen)
        done = run("classify", str(tmp_path / "clip.mp4"), "--labels", "a cat")
        thread.join()
        wait_until(lambda: worker.cancelled)
    assert done.exit_code == Exit.INTERRUPTED
    assert "Interrupted." in done.stderr


def test_the_token_of_the_environment_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIREO_TOKEN", "secret")
    with scripted(Reply(200, {"data": [], "next": None})) as server:
        assert CliRunner().invoke(build_cli(), ["jobs", "--json", "--url", server.url]).stdout == "[]\n"
    assert server.asked[0].headers["authorization"] == "Bearer secret"


def test_the_help_names_every_exit_status() -> None:
    shown = " ".join(CliRunner().invoke(build_cli(), ["--help"]).stdout.replace("│", " ").split())
    for code, meaning in MEANINGS.items():
        assert f"{code.value} {meaning}" in shown
    assert set(MEANINGS) == set(Exit)


def test_the_shell_completes_commands() -> None:
    """What bash does for `vireo videos s<TAB>`, and the script that makes it do so."""

    def shell(**variables: str) -> str:
        command = [sys.executable, "-c", "from vireo.cli.app import main; import sys; sys.argv[0] = 'vireo'; main()"]
        environment = os.environ | variables
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout

    completed = shell(_VIREO_COMPLETE="complete_bash", COMP_WORDS="vireo videos s", COMP_CWORD="2")
    assert completed.split() == ["show", "save"]
    assert "complete" in shell(_VIREO_COMPLETE="source_bash")
