"""The CPU time of a training run, phase by phase: `vireo train` of forty drawn clips with `lite` and `default`.

    python -m benchmarks.training_cost

The run is the training child itself, started on a spec as its worker starts it: it loads `lite`, judges the base model,
runs the frozen trunk over the train clips, trains ten epochs of the projection with looks at the val split, probes
other labels, judges and writes the version. The same run follows in the same data directory ("again"): it finds what
the trunk made of the clips. They are those of `examples/draw_clips.py`, 32 to train on and 8 held
out, as the import of a dataset splits them. `lite` is assembled before. Its worker, the upload and the import are not
counted.

CPU time is that of all processes of the run. It does not depend on what else the machine does as much as the time does.
A phase lasts from its first `progress` message to the next one's; the first begins with the process.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from benchmarks.report import Row, report
from core.datasets import ClassCount, Dataset, Item
from core.processes import SAFE_PATH, python_module
from core.settings import Settings
from core.training_requests import TrainingRequest
from examples.draw_clips import CLASSES, CLIPS, draw
from models.files.bases import open_lite
from worker.children.messages import parse_message
from worker.training.job.child_process import PASSIVE_THREADS
from worker.training.spec import RunSpec

HELD_OUT = 2  # clips of each class
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> bool:
    with tempfile.TemporaryDirectory(prefix="vireo-benchmark-") as directory:
        spec = write_spec(Path(directory))
        first = measure(spec)
        shutil.rmtree(spec.parent / "output")
        (spec.parent / "output").mkdir()
        second = measure(spec)
    rows: list[Row] = []
    for name, phases in (("", first), ("again: ", second)):
        rows += [Row(f"{name}{phase}", seconds, "s") for phase, seconds in phases.items()]
        rows.append(Row(f"{name}all", sum(phases.values()), "s"))
        rows.append(Row(f"{name}after the start", sum(phases.values()) - phases["0 start"], "s"))
    return report("training_cost", rows)


def write_spec(home: Path) -> Path:
    """Draw the clips, assemble `lite`, and write what the child is told."""
    open_lite(home / "models" / "lite")
    dataset = draw_dataset(home / "clips")
    scratch = home / "scratch"
    (scratch / "output").mkdir(parents=True)
    (scratch / "number").write_text("1", encoding="utf-8")  # the parent's answer
    spec = RunSpec(
        job="job_benchmark",
        training=TrainingRequest(name="drawn", dataset=dataset.id, base="lite", seed=0),
        model="lite",
        version=None,
        dataset=dataset,
        clips=home / "clips",
        checkpoint=None,
        scratch=scratch,
        frames=home / "frames",
        settings=Settings(data_dir=home),
    )
    path = scratch / "spec.json"
    path.write_text(spec.model_dump_json(), encoding="utf-8")
    return path


def draw_dataset(folder: Path) -> Dataset:
    folder.mkdir()
    items = []
    for number, label in enumerate(CLASSES):
        for clip in range(CLIPS):
            path = folder / "new.mp4"
            draw(path, label, number * CLIPS + clip)
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            path.rename(folder / sha256)
            split = "val" if clip < HELD_OUT else "train"
            items.append(Item(path=f"{label}/{clip}.mp4", sha256=sha256, label=label, split=split, seconds=2.0))
    train = CLIPS - HELD_OUT
    return Dataset(
        id="ds_" + "0" * 24,
        digest="0" * 64,
        name="drawn",
        created_at=time.time(),
        classes=tuple(ClassCount(name=label, train=train, val=HELD_OUT) for label in CLASSES),
        splits={"train": train * len(CLASSES), "val": HELD_OUT * len(CLASSES), "test": 0},
        split_source="made",
        seconds=2.0 * len(items),
        bytes=1,
        report=(),
        items=tuple(items),
    )


def measure(spec: Path) -> dict[str, float]:
    """CPU seconds of each phase, in order. A phase that returns is another one."""
    environment = PASSIVE_THREADS | os.environ | SAFE_PATH
    command = python_module("worker.training.process.training_child", str(spec))
    marks: list[tuple[str, float]] = [("start", 0.0)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        for line in child.stdout:
            message = parse_message(line)
            if message is None:
                continue
            if message["name"] == "error":
                sys.exit(f"the run failed: {message['data']}")
            if message["name"] == "progress" and message["data"]["phase"] != marks[-1][0]:
                marks.append((message["data"]["phase"], cpu_seconds(child.pid)))
            if message["name"] == "result":
                marks.append(("end", cpu_seconds(child.pid)))
    spent: dict[str, float] = {}
    for number, ((phase, began), (_, ended)) in enumerate(pairwise(marks)):
        spent[f"{number} {phase}"] = ended - began
    return spent


def cpu_seconds(root: int) -> float:
    """Of a process and of all that it has started, whether they still run or not (Linux)."""
    times: dict[int, tuple[int, float]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            times[int(entry.name)] = int(fields[1]), sum(map(int, fields[11:15])) / TICKS
    family, found = {root}, 0
    while len(family) > found:
        found = len(family)
        family |= {pid for pid, (parent, _) in times.items() if parent in family}
    return sum(times[pid][1] for pid in family if pid in times)


if __name__ == "__main__":
    sys.exit(not main())
