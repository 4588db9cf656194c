"""The goals of the table, and whether one run reached them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.bench import again, end_to_end, floor, gpu, text
from benchmarks.bench.measures import Key, Measures, cheapest, ratio
from benchmarks.bench.servers import OURS

MANY = 16
"""Clients."""
BF16 = "(bf16, "
"""In the name of a server that computes in bf16 only; eight bits beside it are something else."""


@dataclass(frozen=True, slots=True)
class Goal:
    """figure: what was measured, None if it was not; most: what it may be; detail: beside what, in which setting."""

    line: str
    most: float
    figure: float | None
    detail: str = ""

    @property
    def held(self) -> bool | None:
        return None if self.figure is None else self.figure <= self.most


def goals(measures: Measures) -> list[Goal]:
    return [*_beside_peers(measures), *_overhead(measures), *_again(measures), *_text(measures), *_gpu(measures)]


def _beside_peers(measures: Measures) -> Iterator[Goal]:
    cpu = f"CPU-seconds per video, {MANY} clients"
    best = _ours(measures, "clip-b16")
    yield _beside(measures, f"B/16, {cpu} / best peer as documented", 1 / 4, best, _peers(measures, "clip-b16", True))
    yield _beside(
        measures, f"B/16, {cpu} / best peer at our engine", 1 / 1.3, best, _peers(measures, "clip-b16", False)
    )
    bf16 = _ours(measures, "clip-b16", BF16)
    yield _beside(
        measures, f"B/16 in bf16, {cpu} / best peer as documented", 1 / 2.2, bf16, _peers(measures, "clip-b16", True)
    )
    in_bf16 = [key for key in _peers(measures, "clip-b16", False) if BF16 in key.subject]
    yield _beside(measures, f"B/16 in bf16, {cpu} / best peer in bf16", 0.95, bf16, in_bf16)
    best = _ours(measures, "clip-b32")
    yield _beside(measures, f"B/32, {cpu} / best peer as documented", 1 / 3, best, _peers(measures, "clip-b32", True))
    before = [key for key in _all(measures, "lite") if key.subject.startswith(f"{OURS} (")]
    before = [key for key in before if " (" in key.subject.removeprefix(f"{OURS} (")]
    yield _beside(measures, f"`lite`, {cpu} / before", 0.5, _ours(measures, "lite"), before)


def _overhead(measures: Measures) -> Iterator[Goal]:
    models = dict.fromkeys(key.model for key in measures.samples if key.row == end_to_end.ROW)
    for model in models or ("clip-b16",):
        (wall,) = measures.of(floor.ROW, "all cores: decode + encode", model=model).values() or [[]]
        ours = _cheapest_of(measures, end_to_end.WALL, model, MANY)
        share = ratio(ours, wall) if ours and wall else None
        detail = f"throughput {100 / share:.0f} % of the floor's" if share else ""
        yield Goal(f"{model}: seconds per video at {MANY} clients / floor (1.18 is 85 %)", 1 / 0.85, share, detail)
        (alone,) = measures.of(floor.ROW, "one client: decode + encode", model=model).values() or [[]]
        one = _cheapest_of(measures, end_to_end.LATENCY, model, 1)
        yield Goal(
            f"{model}: latency of one client / (decode + encode)", 1.10, ratio(one, alone) if one and alone else None
        )
        many, single = (_cheapest_of(measures, end_to_end.CPU, model, count) for count in (MANY, 1))
        figure = ratio(many, single) if many and single else None
        yield Goal(f"{model}: CPU-seconds per video at {MANY} clients / at 1", 1.0, figure)
        yield _memory(measures, model)


def _memory(measures: Measures, model: str) -> Goal:
    """Of the inference worker with its children, beyond the model's weights."""
    line = f"{model}: memory of an inference worker at {MANY} clients beyond its weights, MiB"
    (weights,) = measures.of(end_to_end.ROW, end_to_end.MEMORY, model=model, subject=end_to_end.WEIGHTS).values() or [
        []
    ]
    taken = _cheapest_of(measures, end_to_end.MEMORY, model, MANY)
    return Goal(line, 1024, max(taken) - weights[0] if taken and weights else None)


def _again(measures: Measures) -> Iterator[Goal]:
    for model in dict.fromkeys(key.model for key in measures.samples if key.row == again.ROW):
        inside = measures.of(again.ROW, "inside the service", model=model)
        by = {key.subject: values for key, values in inside.items()}
        yield Goal(f"{model}: re-ask p50 inside the service, ms", 5.0, statistics.median(by["by id"]))
        yield Goal(f"{model}: re-ask / cold (0.01 is 100 ×)", 0.01, ratio(by["by id"], by["cold"]))


def _text(measures: Measures) -> Iterator[Goal]:
    for key, values in measures.of(text.ROW, "text + score").items():
        most = {"400 labels, warm": 1.0, "10,000 labels, warm": 20.0}.get(key.subject)
        if most:
            yield Goal(f"{key.model}: {key.subject} × one video, ms", most, statistics.median(values))


def _gpu(measures: Measures) -> Iterator[Goal]:
    for key, values in measures.of(gpu.ROW, "rate").items():
        if paper := gpu.PAPERS.get(key.model):
            yield Goal(
                f"{key.model}: the paper's videos/s / ours", 1 / 10, paper / statistics.median(values), "on a GPU"
            )
    for key, values in measures.of(gpu.ROW, "share of the matrix rate").items():
        if key.model in ("clip-b16", "clip-l14"):
            yield Goal(f"{key.model}: the bf16 rate / what the tower uses", 2.0, 100 / statistics.median(values))


def _beside(measures: Measures, line: str, most: float, ours: Key | None, others: list[Key]) -> Goal:
    """The median of the ratios of the rounds."""
    best = cheapest({key: measures.samples[key] for key in others})
    if ours is None or best is None:
        return Goal(line, most, None)
    return Goal(
        line, most, ratio(measures.samples[ours], measures.samples[best]), f"{ours.subject} beside {best.subject}"
    )


def _all(measures: Measures, model: str) -> list[Key]:
    return list(measures.of(end_to_end.ROW, end_to_end.CPU, model=model, clients=MANY))


def _ours(measures: Measures, model: str, setting: str = "") -> Key | None:
    """Our cheapest one of this setting; not of another tree."""
    found = [key for key in _all(measures, model) if _is_todays(key) and setting in key.subject]
    return cheapest({key: measures.samples[key] for key in found})


def _is_todays(key: Key) -> bool:
    return key.documented is None and key.subject.startswith(OURS) and key.subject.count(" (") == 1


def _peers(measures: Measures, model: str, documented: bool) -> list[Key]:
    return [key for key in _all(measures, model) if key.documented is documented]


def _cheapest_of(measures: Measures, what: str, model: str, clients: int) -> list[float]:
    found = measures.of(end_to_end.ROW, what, model=model, clients=clients)
    ours = {key: values for key, values in found.items() if _is_todays(key)}
    best = cheapest(ours)
    return ours[best] if best else []
