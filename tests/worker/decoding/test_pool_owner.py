"""The process that a pool belongs to: how it may be started, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clips import rendered
from tests.worker.decoding.test_pool import alive, cpu_ticks, wait_until_gone

ROOT = Path(__file__).parents[3]

PARENT = """
import sys, time
from pathlib import Path
from models.profiles.profile import Profile
from models.frames.sampling import Views
from worker.decoding.pool import DecodePool

if __name__ == "__main__":
    profile = Profile("test", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 48, 48, ("{}",))
    pool = DecodePool(2, 60.0, 1 << 30, 4096 * 2304, 600.0)
    decodings = [pool.submit(Path(path), profile=profile, views=Views(), frames=8) for path in sys.argv[2:]]
    if sys.argv[1] == "wait":
        print("decoding", flush=True)
        time.sleep(60)
    clips = [decoding.result() for decoding in decodings]
    print(*(clip.report.info.frames for clip in clips), "torch" in sys.modules)
    if sys.argv[1] == "close":
        pool.close()
"""


def run_parent(folder: Path, form: str, *arguments: str) -> subprocess.Popen[str]:
    """A worker-like process, its main module started in one of Python's ways."""
    (folder / "decode_parent.py").write_text(textwrap.dedent(PARENT))
    how = {"-c": ["-c", PARENT], "-m": ["-m", "decode_parent"], "script": [str(folder / "decode_parent.py")]}[form]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    command = [sys.executable, "-W", "error", *how, *arguments]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.parametrize("form", ["-c", "-m", "script"])
@pytest.mark.parametrize("end", ["close", "leave"])
def test_a_parent_ends_silently_however_it_was_started(form: str, end: str, folder: Path) -> None:
    parent = run_parent(folder, form, end, str(rendered("h264", folder)), str(rendered("gif", folder)))
    out, err = parent.communicate(timeout=30)

    assert (out, err, parent.returncode) == ("40 40 False\n", "", 0)
    wait_until_gone(set(session(parent.pid)))


def test_no_child_survives_kill_9_of_the_worker(slow: Path, folder: Path) -> None:
    parent = run_parent(folder, "-m", "wait", str(slow), str(slow), str(slow))
    assert parent.stdout is not None
    assert parent.stdout.readline() == "decoding\n"
    family: set[int] = set()
    while len(family) < 3 or max(map(cpu_ticks, family)) < 20:  # the fork server and two children, one in a frame
        assert parent.poll() is None
        time.sleep(0.02)
        family = set(session(parent.pid)) - {parent.pid}

    parent.kill()
    wait_until_gone(family)
    parent.communicate(timeout=5)


CONSOLE_SCRIPT = """
import sys
from core.processes import use_safe_path
from pathlib import Path
from models.profiles.profile import Profile
from models.frames.sampling import Views
from worker.decoding.pool import DecodePool

if __name__ == "__main__":
    use_safe_path()
    profile = Profile("test", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 48, 48, ("{}",))
    with DecodePool(1, 60.0, 1 << 30, 4096 * 2304, 600.0) as pool:
        print(pool.submit(Path(sys.argv[1]), profile=profile, views=Views(), frames=8).result().report.info.frames)
"""
"""Like `vireo-worker`: a script in another directory that calls `use_safe_path` before it starts children."""

OTHER_MODULES = ("worker.py", "redis.py", "numpy.py", "av.py", "core/__init__.py", "models/__init__.py")


def test_children_import_nothing_from_the_current_directory(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "script.py"
    script.write_text(CONSOLE_SCRIPT)
    directory, imported = tmp_path / "project", tmp_path / "imported"
    for name in OTHER_MODULES:
        module = directory / name
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(f"open({str(imported)!r}, 'a').write({name!r})")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    command = [sys.executable, str(script), str(rendered("h264", folder))]
    run = subprocess.run(
        command,
        cwd=directory,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (run.stdout, run.stderr) == ("40\n", "")
    assert not imported.exists()


def session(leader: int) -> Iterator[int]:
    """Processes of the session that `leader` began, without the resource tracker, which ends by itself later."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            pid = int(entry.name)
            if os.getsid(pid) == leader and b"resource_tracker" not in (entry / "cmdline").read_bytes() and alive(pid):
                yield pid
