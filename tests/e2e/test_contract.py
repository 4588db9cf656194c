"""The running service keeps to its OpenAPI document: schemathesis asks every operation, and finds no difference."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests import tiny
from tests.e2e.contract.furniture import furnish, queue
from tests.e2e.stack import Stack, running

HERE = Path(__file__).with_name("contract")
SETTINGS = {"VIREO_MODEL": "tiny", "VIREO_SYNC_DEADLINE": "30", "VIREO_QUEUE_LIMIT": "10000", "OMP_NUM_THREADS": "1"}

# Schemathesis cannot use threads on every Python, so there are processes: for each half of the operations, one by one,
# and for sequences of them. A sequence that comes out differently when it is repeated ends its process early, so there
# are two.
HALF = "^/v1/(classify|embeddings|videos)"
ALONE = ("--phases=examples,coverage,fuzzing", "--seed=1")
SEQUENCES = "--phases=stateful"
PARTS: Final = {
    "questions": (*ALONE, f"--include-path-regex={HALF}"),
    "others": (*ALONE, f"--exclude-path-regex={HALF}"),
    "sequences 1": (SEQUENCES, "--seed=1"),
    "sequences 2": (SEQUENCES, "--seed=2"),
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data_dir = tmp_path_factory.mktemp("contract") / "data"
    tiny.place(data_dir)
    with running(data_dir, SETTINGS) as stack:
        yield stack


@pytest.mark.timeout(1200)
def test_every_operation_keeps_to_the_document(stack: Stack, tmp_path: Path) -> None:
    made = furnish(stack, tmp_path)
    with paused(stack, "training", "datasets"):
        queue(stack, made)
        data = made.write(tmp_path / "furniture.json")
        environment = os.environ | {
            "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py"),
            "VIREO_CONTRACT_DATA": str(data),
            "PYTHONPATH": str(Path(__file__).parents[2]),  # the hooks import each other
        }
        started = {part: _start(part, stack, environment, tmp_path) for part in PARTS}
        try:
            for process in started.values():
                process.wait()
        finally:
            for process in started.values():
                process.kill()
    reports = {part: _report(part, process, tmp_path) for part, process in started.items()}
    with stack.http() as http:
        operations = sum(len(item) for item in http.get("/openapi.json").json()["paths"].values())
    assert reports["questions"]["operations"]["tested"] + reports["others"]["operations"]["tested"] == operations
    assert len(_accepted(reports)) >= operations - 2, _accepted(reports)  # or the hooks do not do what they are for
    assert sum(_cases(reports[part]) for part in PARTS if part.startswith("sequences")) > 100


@contextmanager
def paused(stack: Stack, *queues: str) -> Iterator[None]:
    """Stops workers: what a fuzzer asks for would keep them busy for hours, and here only the answers matter. Their
    parents are stopped first: a parent kills a worker that gives no sign of life for a minute."""
    parents = [pid for queue in queues for pid in stack.children(f"--queue {queue}")]
    pids = [*parents, *(stack.worker(queue) for queue in queues)]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


def _start(part: str, stack: Stack, environment: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", f"--config-file={HERE / 'schemathesis.toml'}"]
    options = [f"{stack.url}/openapi.json", f"--url={stack.url}", f"--report-json-path={folder / part}.json"]
    with (folder / f"{part}.txt").open("wb") as output:
        return subprocess.Popen(
            [*command, "run", *options, *PARTS[part]], env=environment, cwd=folder, stdout=output, stderr=output
        )


def _report(part: str, process: subprocess.Popen[bytes], folder: Path) -> dict[str, Any]:
    assert process.returncode == 0, (folder / f"{part}.txt").read_text(errors="replace")[-20_000:]
    report: dict[str, Any] = json.loads((folder / f"{part}.json").read_text(encoding="utf-8"))
    return report


def _accepted(reports: dict[str, dict[str, Any]]) -> set[str]:
    """The operations of which a request that fits the document was accepted."""
    rates = [(name, phases) for report in reports.values() for name, phases in report["valid_rates"].items()]
    return {name for name, phases in rates if any(phase["accepted"] for phase in phases.values())}


def _cases(report: dict[str, Any]) -> int:
    cases: int = report["test_cases"]["generated"]
    return cases
