from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from launcher.supervision import children
from launcher.supervision.children import Child
from tests.waiting import wait_until

Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a child that runs a line of Python; every child is stopped at the end."""
    started: list[Child] = []

    def run(code: str, stop_timeout: float = 5.0) -> Child:
        child = Child("child", [sys.executable, "-c", code], tmp_path / "log", {"GREETING": "hello"}, stop_timeout)
        started.append(child)
        child.start()
        return child

    yield run
    for child in started:
        child.stop()


def test_output_goes_to_the_log_and_the_last_lines_are_shown(start: Start) -> None:
    child = start("import os; print(*range(20), sep='\\n'); print(os.environ['GREETING'])")
    wait_until(lambda: child.exit_code is not None)
    assert child.exit_code == 0
    assert child.last_log_lines(2) == "19\nhello"


def test_a_process_that_dies_is_restarted_after_a_growing_pause(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(children, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    child = start("raise SystemExit(3)")
    pauses = []
    for _ in range(6):
        while child.exit_code is None:
            time.sleep(0.01)
        began = clock[0]
        while not child.restart_when_due():
            clock[0] += 0.5
        pauses.append(clock[0] - began)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


def test_stop_kills_a_process_that_ignores_sigterm_and_its_descendants(start: Start, tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid)); time.sleep(60)"
    )
    child = start(code, stop_timeout=0.2)
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    descendant = int((tmp_path / "pid").read_text())
    child.stop()
    assert child.exit_code == -signal.SIGKILL
    wait_until(lambda: not is_running(descendant))


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def test_terminate_asks_and_does_not_wait(start: Start) -> None:
    child = start("import time; time.sleep(60)")
    assert child.pid is not None
    os.kill(child.pid, 0)
    child.terminate()
    wait_until(lambda: child.exit_code is not None)
    assert child.exit_code == -signal.SIGTERM


def test_a_process_that_ran_long_is_restarted_at_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(children, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    child = start("raise SystemExit(3)")
    pauses = []
    for lived in (0.0, 0.0, children.HEALTHY_AFTER + 1):
        wait_until(lambda: child.exit_code is not None)
        clock[0] += lived
        began = clock[0]
        while not child.restart_when_due():
            clock[0] += 0.25
        pauses.append(clock[0] - began)
    assert pauses == [1.0, 2.0, 0.0]


def has_ended(child: Child) -> bool:
    return child.exit_code is not None


def test_the_log_of_an_earlier_start_stays(start: Start) -> None:
    for line in ("first", "second"):
        child = start(f"print('{line}')")
        wait_until(partial(has_ended, child))
    assert child.last_log_lines() == "first\nsecond"


def test_ctrl_c_in_the_terminal_is_for_the_supervisor_alone(start: Start) -> None:
    child = start("import time; time.sleep(60)")
    assert child.pid is not None
    assert os.getsid(child.pid) == child.pid != os.getsid(0)
