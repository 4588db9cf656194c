"""Coverage-guided fuzzing of our own parsers: each target for ten minutes, with atheris (Linux, Python 3.11 to 3.13).

    python -m benchmarks.fuzzing [--seconds 600] [--keep] [TARGET…]

An input that makes a target fail ends its run and is written to `benchmarks/results/fuzz/`. `--keep` adds the inputs
that reached new code to the corpus (`benchmarks/fuzz/corpus/`), which the tests replay.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.fuzz.targets import CORPUS, TARGETS
from benchmarks.report import RESULTS, Row, report

CRASHES: Final = RESULTS / "fuzz"
LONGEST: Final = 4096  # bytes of an input
FAILED: Final = "failed-"
"""Begins the names of inputs that once made a target fail. They stay."""

KEPT: Final = 60  # inputs of one target
_DONE: Final = re.compile(r"Done (\d+) runs in (\d+) second")
_COVERED: Final = re.compile(r" cov: (\d+) ")


@dataclass(frozen=True, slots=True)
class Run:
    """inputs: how many were tried; places: in the code that they reached."""

    inputs: int
    places: int
    failed: bool


def main(arguments: list[str] | None = None) -> bool:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    parser.add_argument("--keep", action="store_true", help="add what reaches new code to the corpus")
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET")
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    for target in options.targets or TARGETS:
        run = fuzz(target, options.seconds, keep=options.keep)
        rows += [
            Row(f"{target}: inputs", float(run.inputs), ""),
            Row(f"{target}: places reached", float(run.places), ""),
            Row(f"{target}: failures", float(run.failed), "", "0", not run.failed),
        ]
    return report("fuzzing", rows)


def fuzz(target: str, seconds: int, *, keep: bool = False) -> Run:
    with tempfile.TemporaryDirectory(prefix="vireo-fuzz-") as found:
        limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=20", "-rss_limit_mb=3000"]
        process = _start(target, *limits, found, str(CORPUS / target))
        if keep:
            _keep(target, Path(found))
    if process.returncode:
        print(process.stderr[-3000:])
    done, covered = _DONE.search(process.stderr), _COVERED.findall(process.stderr)
    return Run(int(done[1]) if done else 0, int(covered[-1]) if covered else 0, process.returncode != 0)


def _keep(target: str, found: Path) -> None:
    """Adds what was found to the corpus. Of too many, inputs of all sizes stay."""
    folder = CORPUS / target
    for path in found.iterdir():
        shutil.copy(path, folder / path.name[:12])
    by_size = sorted(
        (path for path in folder.iterdir() if not path.name.startswith(FAILED)),
        key=lambda path: (path.stat().st_size, path.name),
    )
    kept = {by_size[number * len(by_size) // KEPT] for number in range(KEPT)}
    for path in set(by_size) - kept:
        path.unlink()


def _start(target: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.fuzz.process", target, str(CRASHES), *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))
