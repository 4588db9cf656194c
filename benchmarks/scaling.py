"""How the cost of a question grows: with frames, views, the video's length and size, labels, and workers.

    python -m benchmarks.scaling [--models clip-b32,lite] [--rounds 7] [--more clip-b16,clip-l14] [--keep]

A running copy of the product over HTTP; CPU-seconds of all its processes for one question, each about another file.
Everything varies on its own around 8 frames, one view, 10 labels and a clip of 10 s and 340×256. Then one formula is
fitted to all cells of a model,

    CPU-seconds = fixed + decoding · seconds · megapixels + frame · frames · views + label · labels

and judged on cells that it was not fitted on: each cell is left out once. `vireo plan` reckons with it: `--keep` writes
it to launcher/costs.json, with the machine. `--more`: models of which only the frame is measured, in this process;
the rest of a question does not depend on the model.

100,000 labels are more than one question may have, so their product with one vector is measured in this process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx2
import numpy as np
import torch
from scipy.optimize import nnls

from benchmarks.bench import machine, servers
from benchmarks.bench.clients import CLIP, SETTLE_SECONDS, Clips, block
from benchmarks.bench.end_to_end import weights_size, worker_memory
from benchmarks.bench.floor import Floor
from benchmarks.bench.processes import cpu_seconds, family, memory
from benchmarks.bench.second_worker import second_worker
from benchmarks.bench.servers import ROOT, Running
from benchmarks.random_weights import write_random
from benchmarks.report import RESULTS
from models.recognition.scoring import score

COSTS: Final = ROOT / "launcher" / "costs.json"
PICTURE: Final = ROOT / "docs" / "pictures" / "scaling.svg"
CLIENTS: Final = 8
CLIP_KEY: Final = (10, 340, 256)
QUESTIONS: Final = 1
"""Of a sample."""
LABELS: Final = (10, 100, 1_000, 10_000)
FEW: Final = (10, 100, 1_000, 10_000, 100_000)
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Cell:
    """One question. pixels: width and height of the clip."""

    what: str
    frames: int = 8
    clips: int = 1
    crops: int = 1
    labels: int = 10
    seconds: int = 10
    width: int = 340
    height: int = 256

    @property
    def encoded(self) -> int:
        """Frames that pass through the image tower."""
        return self.frames * self.clips * self.crops

    @property
    def decoded(self) -> float:
        """Megapixel-seconds of the clip, which has one keyframe: all of it is decoded."""
        return self.seconds * self.width * self.height / 1e6

    @property
    def terms(self) -> tuple[float, ...]:
        return 1.0, self.decoded, float(self.encoded), float(self.labels)


TERMS: Final = ("fixed", "megapixel_second", "frame", "label")
CELLS: Final = (
    *(Cell("frames", frames=frames) for frames in (8, 16, 32, 64)),
    *(Cell("views", clips=clips, crops=crops) for clips, crops in ((2, 1), (4, 1), (4, 3))),
    *(Cell("seconds", seconds=seconds) for seconds in (2, 30, 60)),
    *(Cell("size", width=width, height=height) for width, height in ((640, 360), (1280, 720))),
    *(Cell("labels", labels=count) for count in LABELS[1:]),
)


def main(arguments: Sequence[str] | None = None) -> bool:
    options = _options(arguments)
    described = machine.describe()
    print(machine.in_words(described))
    costs: dict[str, Any] = {}
    cells: dict[str, dict[Cell, float]] = {}
    with tempfile.TemporaryDirectory(prefix="vireo-scaling-") as folder:
        for model in options.models:
            samples, sizes = _measure(model, Path(folder), options.rounds)
            cells[model] = {cell: statistics.median(values) for cell, values in samples.items()}
            costs[model] = fit(cells[model]) | sizes
            _print(model, cells[model], costs[model])
        for model in options.more:
            costs[model] = _like(costs[options.models[0]], model, Path(folder), options.rounds)
            print(f"{model}: {costs[model]['frame']:.3f} CPU-seconds per frame")
    products = _products()
    data = {"machine": described, "measured": datetime.now(UTC).date().isoformat(), "models": costs}
    RESULTS.mkdir(exist_ok=True)
    kept = {model: [_row(cell, value) for cell, value in measured.items()] for model, measured in cells.items()}
    (RESULTS / "scaling.json").write_text(json.dumps(data | {"cells": kept, "products": products}, indent=1))
    draw(RESULTS / "scaling.svg", cells, products)
    if options.keep:
        COSTS.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        draw(PICTURE, cells, products)
    return True


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=lambda value: value.split(","), default=["clip-b32", "lite"])
    parser.add_argument(
        "--more", type=lambda value: value.split(",") if value else [], default=["clip-b16", "clip-l14"]
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--keep", action="store_true", help="write launcher/costs.json and the picture of the docs")
    return parser.parse_args(arguments)


def fit(cells: Mapping[Cell, float]) -> dict[str, float]:
    """CPU-seconds of each term of the formula, none below zero, and its error: the median and the largest of |predicted
    / measured - 1| over cells that were left out of the fit."""
    known = list(cells)
    terms, values = np.array([cell.terms for cell in known]), np.array([cells[cell] for cell in known])
    errors = []
    for index in range(len(known)):
        others = np.arange(len(known)) != index
        predicted = float(terms[index] @ _fitted(terms[others], values[others]))
        errors.append(abs(predicted / float(values[index]) - 1))
    return dict(zip(TERMS, map(float, _fitted(terms, values)), strict=True)) | {
        "error": statistics.median(errors),
        "largest_error": max(errors),
    }


def _fitted(terms: Any, values: Any) -> Any:
    """Least squares of relative errors: cheap questions count as much as dear ones."""
    return nnls(terms / values[:, None], np.ones(len(values)))[0]


def _measure(model: str, folder: Path, rounds: int) -> tuple[dict[Cell, list[float]], dict[str, Any]]:
    """CPU-seconds of each cell, round by round; the MiB of a worker and of everything else, and number format and
    engine."""
    place = folder / model
    place.mkdir()
    if model in servers.ARCHITECTURES:
        write_random(place, model)
    settings = {"VIREO_MAX_LABELS": str(LABELS[-1])}
    clips = {(cell.seconds, cell.width, cell.height): _clips(cell, folder) for cell in CELLS}
    samples: dict[Cell, list[float]] = {cell: [] for cell in CELLS}
    with ExitStack() as stack:
        server = stack.enter_context(servers.running(servers.vireo(model, place, settings=settings), folder))
        http = stack.enter_context(httpx2.Client(base_url=server.url, timeout=900, trust_env=False))
        for cell in CELLS:
            _ask(http, cell, next(clips[cell.seconds, cell.width, cell.height]))  # its labels are known now
        for number in range(rounds):
            print(f"{model}: round {number + 1} of {rounds}", flush=True)
            for cell in CELLS:
                samples[cell].append(_cost(server, http, cell, clips[cell.seconds, cell.width, cell.height]))
        worker = worker_memory(server)
        everything = sum(map(memory, family(server.process.pid)))
        workers = _workers(server, place, clips[CLIP_KEY], rounds)
    sizes = {"worker_mib": round(worker / MIB), "rest_mib": round((everything - worker) / MIB)}
    sizes["weights_mib"] = round(weights_size(model, place) / MIB)
    return samples, {"setting": server.setting, "frame_alone": False} | sizes | workers


def _workers(server: Running, place: Path, clips: Clips, rounds: int) -> dict[str, float]:
    """What eight clients cost and get from two workers, against one: medians of ratios of CPU-seconds and of videos
    per second."""
    cpu, rate = [], []
    for _ in range(rounds):
        one = block(server, clips, CLIENTS, CLIENTS)
        with second_worker(server, place):
            block(server, clips, 2, 2)  # it has loaded everything then
            two = block(server, clips, CLIENTS, CLIENTS)
        cpu.append(two.cpu / one.cpu)
        rate.append(one.wall / two.wall)
    return {"second_worker_cpu": statistics.median(cpu), "second_worker_rate": statistics.median(rate)}


def _clips(cell: Cell, folder: Path) -> Clips:
    frames = 25 * cell.seconds
    return Clips(folder, replace(CLIP, frames=frames, gop=frames, width=cell.width, height=cell.height))


def _cost(server: Running, http: httpx2.Client, cell: Cell, clips: Iterator[bytes]) -> float:
    """CPU-seconds of one question."""
    before = cpu_seconds(server.process.pid)
    for _ in range(QUESTIONS):
        _ask(http, cell, next(clips))
    time.sleep(SETTLE_SECONDS)
    return (cpu_seconds(server.process.pid) - before) / QUESTIONS


def _ask(http: httpx2.Client, cell: Cell, clip: bytes) -> None:
    form = {
        "labels": json.dumps([f"thing {index}" for index in range(cell.labels)]),
        "templates": json.dumps(["a video of {}."]),
        "frames": str(cell.frames),
        "views": f"{cell.clips}x{cell.crops}",
        "top_k": "10",
    }
    answer = http.post("/v1/classify", data=form, files={"video": ("clip.mp4", clip, "video/mp4")})
    if answer.raise_for_status().status_code != 200:
        raise RuntimeError(answer.text[:500])


def _like(known: Mapping[str, Any], model: str, folder: Path, rounds: int) -> dict[str, Any]:
    """The costs of a model whose frames alone are measured, on one thread: memory is that of a model that was measured
    whole, and the difference of their weights."""
    place = folder / model
    write_random(place, model)
    alone = Floor(model, place, Clips(folder))
    frame = statistics.median(alone.frame_seconds() for _ in range(rounds))
    weights = weights_size(model, place) / MIB
    worker = known["worker_mib"] + weights - known["weights_mib"]
    setting = alone.setting
    return {
        **known,
        "setting": setting,
        "frame_alone": True,
        "frame": frame,
        "weights_mib": round(weights),
        "worker_mib": round(worker),
    }


def _products() -> dict[int, float]:
    """Milliseconds of the scores of one video, by the number of labels."""
    vector, found = torch.randn(1, 512), {}
    for count in FEW:
        rows = torch.nn.functional.normalize(torch.randn(count, 512), dim=-1)  # [C, d]
        times = []
        for _ in range(50):
            began = time.perf_counter()
            score(vector, rows, 100.0, "features")
            times.append(time.perf_counter() - began)
        found[count] = 1000 * statistics.median(times)
    return found


def _print(model: str, cells: Mapping[Cell, float], costs: Mapping[str, float]) -> None:
    print(f"\n{model}")
    for cell, value in cells.items():
        predicted = sum(cost * term for cost, term in zip((costs[name] for name in TERMS), cell.terms, strict=True))
        print(f"  {_name(cell):<28} {value:8.3f} CPU-s   formula {predicted:8.3f}")
    print(f"  {json.dumps(costs)}")


def _name(cell: Cell) -> str:
    value = {
        "frames": f"{cell.frames}",
        "views": f"{cell.clips}×{cell.crops}",
        "seconds": f"{cell.seconds}",
        "size": f"{cell.width}×{cell.height}",
        "labels": f"{cell.labels:,}",
    }
    return f"{cell.what} {value[cell.what]}"


def _row(cell: Cell, value: float) -> dict[str, Any]:
    return {"cell": _name(cell), "terms": cell.terms, "labels": cell.labels, "cpu_seconds": value}


def draw(file: Path, cells: Mapping[str, Mapping[Cell, float]], products: Mapping[int, float]) -> None:
    """CPU-seconds of a question by frames that are encoded, by megapixel-seconds and by labels, and of the product."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "scaling"  # the same picture from the same numbers
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 4, figsize=(13, 3.2), layout="constrained")
    for (title, names, value), axis in zip(_PANELS, axes, strict=False):
        for model, measured in cells.items():
            base = next(iter(measured))
            points = sorted(
                (value(cell), cost) for cell, cost in measured.items() if cell.what in names or cell == base
            )
            axis.plot([at for at, _ in points], [cost for _, cost in points], marker="o", label=model)
        axis.set(xlabel=title, xscale="log", ylim=(0, None))
    axes[0].set_ylabel("CPU-seconds per question")
    axes[0].legend()
    axes[3].plot(list(products), list(products.values()), marker="o")
    axes[3].set(xlabel="labels × one vector, ms", xscale="log", yscale="log")
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


_PANELS: Final[Sequence[tuple[str, tuple[str, ...], Callable[[Cell], float]]]] = (
    ("frames × views", ("frames", "views"), lambda cell: cell.encoded),
    ("seconds × megapixels", ("seconds", "size"), lambda cell: cell.decoded),
    ("labels (known)", ("labels",), lambda cell: cell.labels),
)
"""Title, the cells that vary it, and its value."""


if __name__ == "__main__":
    sys.exit(not main())
