"""20,000 damaged and hostile videos through the decode path of a worker: no crash, a clear answer to each, in time.

    python -m benchmarks.hostile_videos [--count 20000] [--seed 0] [--resume] [--only INDEX] [--seconds S]

File `INDEX` of a seed is always the same on the same version of the libraries. An interrupted campaign goes on with
`--resume`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.hostile.crafted import CRAFTED
from benchmarks.hostile.decoding import Arena, Hostile, Outcome
from benchmarks.hostile.mutations import mutated_files
from benchmarks.hostile.seeds import render_seeds
from benchmarks.report import RESULTS, Row, report

STATE: Final = RESULTS / "hostile_videos.state.json"
SAVE_EVERY: Final = 500  # files


@dataclass(slots=True)
class Campaign:
    """What has been tried so far. counts: files by "kind | answer". slowest: seconds. peak: bytes of one child."""

    seed: int
    next: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    slowest: float = 0.0
    peak: int = 0
    seconds: float = 0.0
    bad: list[str] = field(default_factory=list)

    @classmethod
    def resume(cls, seed: int) -> Campaign:
        """Where the last one of this seed stopped; a new one if there is none."""
        data = json.loads(STATE.read_text()) if STATE.exists() else {}
        return cls(**data) if data.get("seed") == seed else cls(seed)

    def save(self) -> None:
        RESULTS.mkdir(exist_ok=True)
        STATE.write_text(json.dumps(asdict(self), indent=1))

    def add(self, outcome: Outcome, deadline: float) -> None:
        self.next = max(self.next, outcome.file.index + 1)
        name = f"{outcome.file.kind} | {outcome.answer}"
        self.counts[name] = self.counts.get(name, 0) + 1
        self.slowest = max(self.slowest, outcome.seconds)
        if outcome.is_bad(deadline):
            self.bad.append(f"{outcome.file.index} {outcome.file.kind}: {outcome.answer}, {outcome.seconds:.1f} s")
            print(self.bad[-1], outcome.words, flush=True)


def main(arguments: list[str] | None = None) -> bool:
    options = _options(arguments)
    campaign = Campaign.resume(options.seed) if options.resume else Campaign(options.seed)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vireo-hostile-") as name, Arena(Path(name) / "data") as arena:
        folder = Path(name)
        chosen = range(campaign.next, options.count) if options.only is None else [options.only]
        if campaign.next == 0 and options.only is None:
            for outcome in arena.send(_crafted(folder), ahead=0):
                print(f"{outcome.file.kind}: {outcome.answer}, {outcome.seconds:.2f} s. {outcome.words}")
                campaign.add(outcome, arena.deadline)
        good = [path.read_bytes() for path in render_seeds(folder / "good")]
        for outcome in arena.send(mutated_files(options.seed, chosen, good, folder)):
            campaign.add(outcome, arena.deadline)
            if options.only is not None:
                print(outcome)
            if outcome.file.index % SAVE_EVERY == 0:
                campaign.peak = max(campaign.peak, arena.peak)
                campaign.save()
            if time.monotonic() - started > options.seconds:
                break
        campaign.peak, limit = max(campaign.peak, arena.peak), arena.limit
    campaign.seconds += time.monotonic() - started
    if options.only is None:
        campaign.save()
    return _report(campaign, limit)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="mutated files, besides those made by hand")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--only", type=int, help="index of one file to try again")
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop after this time")
    return parser.parse_args(arguments)


def _crafted(folder: Path) -> Iterator[Hostile]:
    for name, craft in CRAFTED.items():
        path = folder / "crafted"
        craft(path)
        yield Hostile(-1, name, path.rename(folder / name.replace(" ", "_").replace("/", "_")))


def _report(campaign: Campaign, limit: int) -> bool:
    answers: Counter[str] = Counter()
    for name, count in campaign.counts.items():
        answers[name.partition(" | ")[2]] += count
    tried = sum(answers.values())
    rows = [Row(f"answer: {answer}", float(count), "") for answer, count in answers.most_common()]
    rows += [
        Row("files", float(tried), ""),
        Row("no clear answer, or too late", float(len(campaign.bad)), "", "0", not campaign.bad),
        Row("slowest answer", campaign.slowest, "s"),
        Row("most memory of a child", campaign.peak / 2**20, "MB", f"below {limit >> 20} MB", campaign.peak < limit),
        Row("time", campaign.seconds, "s"),
    ]
    return report("hostile_videos", rows)


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))
