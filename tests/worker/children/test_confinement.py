"""Each guard by itself: what Landlock refuses where there is no seccomp, what seccomp refuses, and what is said if one
is missing."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from core.processes import SAFE_PATH
from worker.children import confinement
from worker.children.confinement import find_missing_guards, restrict_files, restrict_system_calls
from worker.children.environment import child_environment
from worker.children.system_calls import file_reader_rules

ROOT = Path(__file__).parents[3]


def run(script: str, *arguments: object) -> str:
    """What the script prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        env=SAFE_PATH | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not done.stderr
    return done.stdout


FILES = """
import os, socket, sys
from pathlib import Path
from worker.children.confinement import code_paths, restrict_files

readable, writable, other, port = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
assert restrict_files([readable, *code_paths()], [writable]) is None
print(readable.read_text())
(writable / "new").write_text("written")
print((writable / "new").read_text())
for attempt in (
    lambda: other.read_text(),
    lambda: readable.write_text("changed"),
    lambda: (other.parent / "new").write_text(""),
    lambda: Path("/proc/1/environ").read_bytes(),
    lambda: os.kill(os.getppid(), 0),
    lambda: socket.create_connection(("127.0.0.1", port), 5),
):
    try:
        attempt()
        print("it was possible")
    except PermissionError as error:
        print(error.strerror)
import json.tool, worker.video  # code can still be loaded
"""


def test_landlock_limits_files_signals_and_connections(tmp_path: Path) -> None:
    for folder in ("in", "out", "data"):
        (tmp_path / folder).mkdir()
    readable, other = tmp_path / "in" / "upload", tmp_path / "data" / "appendonly.aof"
    readable.write_text("the upload")
    other.write_text("a secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        printed = run(FILES, readable, tmp_path / "out", other, server.getsockname()[1])
    denied = ["Permission denied"] * 4 + ["Operation not permitted", "Permission denied"]
    assert printed.splitlines() == ["the upload", "written", *denied]


def test_the_data_directory_inside_the_project_is_not_code() -> None:
    paths = confinement.code_paths()
    assert ROOT not in paths
    assert not any(path in (ROOT / ".vireo").parents for path in paths)


CALLS = """
import os, socket, threading
from worker.children.confinement import restrict_system_calls
from worker.children.system_calls import file_reader_rules

ready, go = threading.Event(), threading.Event()
tried = []

def attempt(what):
    try:
        what()
        tried.append("it was possible")
    except PermissionError as error:
        tried.append(error.strerror)

def earlier():
    ready.set()
    go.wait()
    attempt(socket.socket)

thread = threading.Thread(target=earlier)
thread.start()
ready.wait()
assert restrict_system_calls(file_reader_rules()) is None
go.set()
thread.join()
attempt(socket.socket)
attempt(os.fork)
attempt(lambda: os.execv("/bin/true", ["true"]))
attempt(lambda: os.kill(os.getppid(), 0))
later = threading.Thread(target=attempt, args=(lambda: open("/dev/null").close(),))
later.start()
later.join()
print(tried)
"""


def test_seccomp_stops_all_threads_and_leaves_files_and_new_threads() -> None:
    assert run(CALLS) == f"{['Operation not permitted'] * 5 + ['it was possible']}\n"


def test_a_missing_guard_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "abi_version", lambda: 0)
    assert restrict_files() == "The kernel has no Landlock, so it does not limit which files a child may open."

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(confinement, "_drop_capabilities", lambda: None)
    monkeypatch.setattr(confinement, "filter_system_calls", refuse)
    assert "may use the network" in (restrict_system_calls(file_reader_rules()) or "")
    assert "no seccomp that Vireo knows" in (restrict_system_calls(None) or "")


def test_a_worker_can_tell_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert find_missing_guards() == []
    (tmp_path / "landlockpy.py").write_text(
        "from enum import IntFlag\nScope = IntFlag('Scope', 'ABSTRACT_UNIX_SOCKET SIGNAL')\n"
        "Ruleset, LandlockError = None, OSError\ndef abi_version(): return 0\n"
        "RIGHTS = 'READ_FILE READ_DIR WRITE_FILE TRUNCATE MAKE_REG REMOVE_FILE MAKE_DIR REMOVE_DIR'\n"
        "AccessFS = IntFlag('AccessFS', RIGHTS)\n"
    )
    path = f"{tmp_path}:{child_environment()['PYTHONPATH']}"
    monkeypatch.setattr(confinement, "child_environment", lambda: child_environment() | {"PYTHONPATH": path})
    assert find_missing_guards() == ["The kernel has no Landlock, so it does not limit which files a child may open."]


def test_the_environment_of_a_child_has_no_setting_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIREO_REDIS_URL", "redis://:secret@host")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib")
    monkeypatch.setenv("HF_HOME", "/models")
    environment = child_environment()
    assert "secret" not in str(environment)
    assert environment["LD_LIBRARY_PATH"] == "/opt/lib"
    assert "HF_HOME" not in environment
    assert child_environment("HF_HOME")["HF_HOME"] == "/models"
