from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.processes import SAFE_PATH, python_module, use_safe_path

ROOT = Path(__file__).parents[2]


def run(directory: Path, command: list[str], **environment: str) -> str:
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        command, cwd=directory, env=outside | environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_a_module_is_never_taken_from_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "cwd").mkdir()
    (tmp_path / "code" / "job.py").write_text("import other; print(other.__file__)")
    (tmp_path / "code" / "other.py").write_text("")
    (tmp_path / "cwd" / "job.py").write_text("print('wrong')")
    (tmp_path / "cwd" / "other.py").write_text("")
    found = run(tmp_path / "cwd", python_module("job"), PYTHONPATH=str(tmp_path / "code"))
    assert found == str(tmp_path / "code" / "other.py")


def test_the_safe_path_reaches_child_interpreters(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("")
    grandchild = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import other'], check=False)"
    command = [sys.executable, "-P", "-c", grandchild + "; print('done')"]
    with_it = subprocess.run(
        command, cwd=tmp_path, env=os.environ | SAFE_PATH, capture_output=True, text=True, check=True
    )
    assert "ModuleNotFoundError" in with_it.stderr


def test_use_safe_path_sets_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    use_safe_path()
    assert os.environ["PYTHONSAFEPATH"] == "1"


def test_limits_are_lowered_and_never_raised() -> None:
    script = (
        "import resource; from core.processes import limit_resources as limit\n"
        "limit({resource.RLIMIT_NOFILE: 64}); limit({resource.RLIMIT_NOFILE: 128})\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    assert run(ROOT, [sys.executable, "-c", script], PYTHONPATH=str(ROOT)) == "(64, 64)"


def test_threads_share_as_many_heaps_as_they_are_given() -> None:
    """Counted by glibc."""
    script = (
        "import ctypes, threading; from core.processes import limit_heaps; limit_heaps(2)\n"
        "together = threading.Barrier(8)\n"
        "threads = [threading.Thread(target=lambda: (bytearray(5000), together.wait())) for _ in range(8)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "libc = ctypes.CDLL(None)\n"
        "out = ctypes.c_void_p.in_dll(libc, 'stdout'); libc.malloc_info(0, out); libc.fflush(out)"
    )
    assert run(ROOT, [sys.executable, "-c", script], PYTHONPATH=str(ROOT)).count("<heap nr=") == 2


def test_free_memory_goes_back_to_the_system() -> None:
    script = (
        "import re; from core.processes import return_free_memory\n"
        "def resident(): return int(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "held = [bytearray(4000) for _ in range(50_000)]\n"
        "del held[:-1]\n"  # the last one keeps the end of the heap in use
        "before = resident(); return_free_memory(); print(before - resident())"
    )
    assert int(run(ROOT, [sys.executable, "-c", script], PYTHONPATH=str(ROOT))) > 150_000  # KiB, of 200,000
