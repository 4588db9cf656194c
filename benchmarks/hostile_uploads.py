"""300 damaged videos over HTTP: every answer is a 4xx or has scores, and no process of the service ends.

    python -m benchmarks.hostile_uploads [--count 300] [--seed 0]

A copy of the product with a tiny model. The files are those of `hostile_videos` with the same seed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.hostile.mutations import mutated_files
from benchmarks.hostile.seeds import render_seeds
from benchmarks.hostile.uploads import ask_about
from benchmarks.report import Row, report
from core.settings import Settings
from tests import tiny
from tests.e2e.stack import running

LOSS = ("vireo-gateway", "vireo-worker", "redis")


def main(arguments: list[str] | None = None) -> bool:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    deadline = Settings().decode_deadline
    with tempfile.TemporaryDirectory(prefix="vireo-hostile-") as name:
        folder = Path(name)
        tiny.place(folder / "data")
        good = [path.read_bytes() for path in render_seeds(folder / "good")]
        with running(folder / "data", {"VIREO_MODEL": "tiny", "OMP_NUM_THREADS": "1"}) as stack, stack.http() as http:
            before = {name: stack.children(name) for name in LOSS}
            outcomes = list(ask_about(http, mutated_files(options.seed, range(options.count), good, folder)))
            lost = sum(before[name] != stack.children(name) for name in LOSS)
            ready = http.get("/readyz").status_code == 200
    bad = [outcome for outcome in outcomes if outcome.is_bad(deadline) or outcome.answer == "no clear answer"]
    for outcome in bad:
        print(outcome.file.index, outcome.file.kind, outcome.status, outcome.words)
    rows = [
        Row(f"answer: {what}", float(count), "") for what, count in Counter(o.answer for o in outcomes).most_common()
    ]
    rows += [
        Row("files", float(len(outcomes)), ""),
        Row("no clear answer, or too late", float(len(bad)), "", "0", not bad),
        Row("roles whose process ended", float(lost), "", "0", lost == 0 and ready),
        Row("slowest answer", max(outcome.seconds for outcome in outcomes), "s"),
    ]
    return report("hostile_uploads", rows)


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))
