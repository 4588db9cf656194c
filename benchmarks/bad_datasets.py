"""Bad datasets: 200 archives that are damaged or malicious. Each must end in a clear report or a clear refusal. No file
may be written outside of the store, and none may be left behind.

    python -m benchmarks.bad_datasets [--count 200] [--seed 0]
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from benchmarks.hostile_archives import ESCAPED, Hostile, archives
from core.datasets import DatasetRequest, archive_key
from core.errors import InvalidArchive, InvalidDataset, InvalidRequest
from core.settings import Settings
from core.storage import Store
from core.storage.partial import WRITER
from worker.datasets.preparation import prepare_dataset
from worker.decoding.pool import DecodePool
from worker.jobs.cancellation import CancelToken


@dataclass(frozen=True, slots=True)
class Outcome:
    """what: "archive refused", "dataset refused" or "reported". codes: reasons of a refusal, or codes of findings.
    message: of the refusal. stray: files that should not exist."""

    what: str
    codes: frozenset[str]
    message: str
    stray: tuple[str, ...]
    seconds: float

    def clear(self, hostile: Hostile) -> bool:
        """Whether no stray files exist and the answer names the right reason."""
        explained = bool(self.codes & hostile.codes) if hostile.codes else bool(self.codes)
        return explained and bool(self.message or self.what == "reported") and not self.stray


class Arena:
    """A store with a canary file beside it, in a folder that is otherwise empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(
            data_dir=folder / "data",
            max_dataset_bytes=8 << 20,
            max_dataset_files=200,
            decode_deadline=10.0,
            decode_memory=1 << 30,
        )
        self.store = Store(self.settings.store_url, folder / "data" / "spool")
        self.decoders = DecodePool.from_settings(self.settings)
        (folder / "canary").mkdir()
        (folder / "canary" / "bird.txt").write_text("alive")

    def close(self) -> None:
        self.decoders.close()

    def send(self, hostile: Hostile) -> Outcome:
        """Run the job. A dataset that it publishes is deleted again."""
        key = archive_key(hashlib.sha256(hostile.data).hexdigest())
        before = self._listing()
        with self.store.stage() as staged:
            staged.write(hostile.data)
            self.store.publish(staged, key)
        begin = time.perf_counter()
        what, codes, message, dataset = self._prepare(key)
        seconds = time.perf_counter() - begin
        if dataset:
            self.store.delete_tree(f"datasets/{dataset}", "dataset.json")
            for receipt in (self.folder / "data/store/incoming").glob("*.receipt"):
                receipt.unlink()
        stray = [f"/tmp/{ESCAPED}.mp4"] if Path(f"/tmp/{ESCAPED}.mp4").exists() else []
        return Outcome(what, frozenset(codes), message, (*sorted(self._listing() ^ before), *stray), seconds)

    def _prepare(self, key: str) -> tuple[str, list[str], str, str | None]:
        try:
            made = prepare_dataset(
                DatasetRequest(archive=key, name="bad"),
                store=self.store,
                decoders=self.decoders,
                settings=self.settings,
                token=CancelToken(),
                report_progress=lambda _: None,
            )
        except InvalidArchive as error:
            return "archive refused", [error.details["reason"]], error.message, None
        except InvalidDataset as error:
            codes = [finding["code"] for finding in error.details["report"]]
            return "dataset refused", codes or ["manifest"], error.message, None
        except InvalidRequest as error:
            return f"refused as {error.code}", [], error.message, None
        return "reported", [finding["code"] for finding in made["report"]], "", made["dataset"]

    def _listing(self) -> set[str]:
        """Every file with its size, without the folders and locks that a store always has."""
        usual = {"data", "data/store", "data/store/partial", "data/store/partial/lock 0"}
        usual |= {"data/store/incoming", "data/store/datasets"}
        found = {
            str(path.relative_to(self.folder)) + (f" {path.stat().st_size}" if path.is_file() else "")
            for path in self.folder.rglob("*")
            if path.suffix != WRITER
        }
        return found - usual


def render(index: int) -> bytes:
    """A small clip with a brightness of its own."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with av.open(file.name, "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for i in range(12):
                shade = np.full((72, 64), 40 * index + 3 * i, np.uint8)
                frame = VideoFrame.from_ndarray(shade, "yuv420p")
                frame.pts, frame.time_base = i, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return Path(file.name).read_bytes()


def main() -> bool:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=200)
    options.add_argument("--seed", type=int, default=0)
    chosen, _ = options.parse_known_args()
    outcomes: dict[str, list[tuple[Outcome, bool]]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as folder:
        arena = Arena(Path(folder))
        for hostile in archives([render(index) for index in range(4)], chosen.count, chosen.seed):
            outcome = arena.send(hostile)
            outcomes[hostile.kind].append((outcome, outcome.clear(hostile)))
        arena.close()
    print(f"{'kind':18s} {'archive refused':>15s} {'dataset refused':>15s} {'reported':>9s} {'clear':>6s}  said")
    for kind, made in outcomes.items():
        what = Counter(outcome.what for outcome, _ in made)
        said = Counter(code for outcome, _ in made for code in outcome.codes)
        print(
            f"{kind:18s} {what['archive refused']:15d} {what['dataset refused']:15d} {what['reported']:9d} "
            f"{sum(clear for _, clear in made):6d}  {', '.join(code for code, _ in said.most_common(5))}"
        )
    return _sum_up([pair for made in outcomes.values() for pair in made])


def _sum_up(made: list[tuple[Outcome, bool]]) -> bool:
    from benchmarks.report import Row, report  # imports torch, which no decode child should have to import

    clear, stray = sum(clear for _, clear in made), sum(bool(outcome.stray) for outcome, _ in made)
    return report(
        "bad_datasets",
        [
            Row("archives", len(made), ""),
            Row("with a clear answer", clear, "", "all", clear == len(made)),
            Row("that left something behind", stray, "", "none", not stray),
            Row("seconds for the slowest", max(outcome.seconds for outcome, _ in made), "s"),
        ],
    )


if __name__ == "__main__":
    sys.exit(not main())
