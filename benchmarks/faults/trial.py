"""A copy of the tree, in which one fault at a time is tried."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from enum import Enum
from pathlib import Path

from benchmarks.faults.preloaded import OUTPUT
from benchmarks.faults.sets import Fault, FaultError

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 900.0  # for tests without a fault; with one they get TIMES as long as without
TIMES, REST = 5.0, 30.0  # and REST seconds: machines are busy
LIBRARIES = ("pytest", "torch", "open_clip", "timm", "av", "celery", "fastapi", "hypothesis", "moto.moto_server")
# Loading every plugin that is installed takes longer than most tests. The last option: some libraries are plugins, too.
PLUGINS = ("-p", "pytest_timeout", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
PASSED = 0  # exit status of pytest


class Outcome(Enum):
    NOTICED = "noticed"
    TIMED_OUT = "noticed (by time-out)"
    UNNOTICED = "NOT NOTICED"
    OUTDATED = "does not apply any more"
    TESTS_FAIL = "tests fail without the fault"

    @property
    def noticed(self) -> bool:
        return self in (Outcome.NOTICED, Outcome.TIMED_OUT)

    @property
    def broken(self) -> bool:
        """Whether the set of faults, or the tree, must be mended before this says anything."""
        return self in (Outcome.OUTDATED, Outcome.TESTS_FAIL)


class Trial:
    """Must be closed."""

    def __init__(self, root: Path, libraries: Sequence[str] = LIBRARIES) -> None:
        """root: of the copy; libraries: what the tests import and we did not write."""
        self.root = root
        self._took: dict[tuple[str, ...], float | None] = {}  # tests → seconds without a fault; None: they fail
        self._server = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("preloaded.py")), *libraries],
            cwd=root,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @classmethod
    @contextmanager
    def of_this_tree(cls) -> Iterator[Trial]:
        """A copy of the files that git knows or would take."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        with tempfile.TemporaryDirectory(prefix="vireo-faults-") as directory:
            for name in filter(None, listed.split("\0")):
                if (ROOT / name).is_file():
                    (Path(directory) / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / name, Path(directory) / name)
            with closing(cls(Path(directory))) as trial:
                yield trial

    def try_fault(self, fault: Fault) -> Outcome:
        """Put the fault in, run its tests, take it out."""
        try:
            faulty = fault.applied(self.root)
        except FaultError as error:
            print(f"{fault.name}: {error}")
            return Outcome.OUTDATED
        took = self._seconds_without_fault(fault.tests)
        if took is None:
            return Outcome.TESTS_FAIL
        path = self.root / fault.file
        sound = path.read_bytes()
        path.write_text(faulty, "utf-8")
        try:
            status = self._pytest(fault.tests, REST + TIMES * took)
        finally:
            path.write_bytes(sound)
        if status is None:
            return Outcome.TIMED_OUT
        return Outcome.UNNOTICED if status == PASSED else Outcome.NOTICED

    def close(self) -> None:
        self._server.communicate()

    def _seconds_without_fault(self, tests: tuple[str, ...]) -> float | None:
        """None if they fail."""
        if tests not in self._took:
            began = time.monotonic()
            passed = self._pytest(tests, SECONDS) == PASSED
            self._took[tests] = time.monotonic() - began if passed else None
            if not passed:
                print((self.root / OUTPUT).read_text("utf-8", "replace"))
        return self._took[tests]

    def _pytest(self, tests: tuple[str, ...], seconds: float) -> int | None:
        """pytest's exit status; None after the time-out."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(json.dumps(["-x", "-q", *PLUGINS, *tests, seconds]), file=self._server.stdin, flush=True)
        status: int | None = json.loads(self._server.stdout.readline())
        return status

    def _environment(self) -> dict[str, str]:
        """Every process of the tests imports the copy. No bytecode is written: a file that changes twice within a
        second and keeps its size would not be compiled again."""
        copied = os.pathsep.join((str(self.root), str(self.root / "client")))
        plain = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        return os.environ | plain | {"PYTHONPATH": copied}
