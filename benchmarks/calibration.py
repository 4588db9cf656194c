"""Does calibrated confidence hold for labels that the fit has never seen, and what does it cost?

Real clips (VIREO_CLIPS) with `lite`, half of the classes left out, seeds 0, 1, 2. benchmarks/NOTES.md has the protocol
and what was expected.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import httpx2
import torch
from torch.nn.functional import normalize

from benchmarks.clip_features import ClipFeatures, open_features, real_clips
from benchmarks.report import RESULTS, Row, report
from core.calibration.record import Calibration
from core.calibration.shelf import ANY, DIAGRAM, Calibrations
from core.settings import Settings
from core.storage import Store
from models.calibration.judged import Judged, Measured, Reading, Seen, judge
from models.calibration.null_prompts import NULL_PROMPTS, NULL_VERSION
from models.classifier.ensemble import build_rows
from models.files.bases import open_base
from tests.clips import SPECS, render
from tests.e2e.stack import copy_of, running

SEEDS = (0, 1, 2)
QUESTIONS = 200


def main(names: Sequence[str] = ()) -> bool:
    torch.set_num_threads(1)
    data_dir = RESULTS / "data"
    base = open_base("lite", data_dir=data_dir, progress=lambda *_: None)
    settings = Settings(data_dir=data_dir, device="cpu", decode_deadline=120.0)
    null, _ = build_rows(base.text_encoder.encode, [(text, (text,)) for text in NULL_PROMPTS], ("{}",), False)
    rows: list[Row] = []
    for name in ("actions20", "dark6"):
        if not names or name in names:
            clips = open_features(name, lambda name=name: real_clips(name, base, settings))  # type: ignore[misc]
            rows += _rows(name, [judge(_seen(clips, null), by_clips=False, seed=seed)[0] for seed in SEEDS])
    if not names or "cost" in names:
        rows += cost(data_dir)
    return report("calibration", rows)


def _seen(clips: ClipFeatures, null: torch.Tensor) -> Seen:
    videos = normalize(clips.v.double(), dim=-1)  # [n, d]
    similarities = (videos @ clips.rows.double().T).numpy()  # [n, C]
    return Seen(
        (Reading("labels", similarities),), (videos @ null.double().T).numpy(), clips.labels.numpy(), clips.scale
    )


def _rows(name: str, found: Sequence[Judged]) -> list[Row]:
    rows = [_row(f"{name}: top-1 of questions with the clip's label", [100 * each.top1 for each in found], "%")]
    for field, unit, factor in (("ece", "", 1), ("ece_labels", "", 1), ("auroc", "", 1), ("coverage", "%", 100)):
        sides = [[factor * _number(getattr(each, side), field) for each in found] for side in ("before", "after")]
        rows += [
            _row(f"{name}: {field}, {side}", values, unit)
            for side, values in zip(("score", "confidence"), sides, strict=True)
        ]
    rows.append(
        _row(f"{name}: fits in which similarity told anything", [100 * each.informative for each in found], "%")
    )
    return rows


def _number(measured: Measured, field: str) -> float:
    value = getattr(measured, field)
    return float("nan") if value is None else float(value)


def _row(what: str, values: Sequence[float], unit: str) -> Row:
    return Row(what, statistics.mean(values), unit, spread=statistics.stdev(values))


def cost(data_dir: Path) -> list[Row]:
    """Milliseconds of a question about a cached video, in turns: without a calibration, and with one."""
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as folder:
        clip = render(Path(folder) / "clip.mp4", replace(SPECS["h264"], frames=30))
        with running(copy_of(data_dir, Path(folder) / "data"), {"VIREO_MODEL": "lite"}) as stack, stack.http() as http:
            first = http.post("/v1/classify", data={"labels": ["a", "b"]}, files={"video": clip.read_bytes()}).json()
            video, digest = first["video"]["id"], first["model_info"]["digest"]
            calibrations = Calibrations(Store.from_settings(Settings(data_dir=stack.data_dir)))
            (Path(folder) / DIAGRAM).write_bytes(b"")
            plain, calibrated = [], []
            for number in range(10):  # in turns, so that both see the same noise
                plain.append(_median(http, video))
                made = calibrations.publish(Path(folder), _calibration(digest, number))
                calibrated.append(_median(http, video))
                calibrations.delete(made)
    gain = [after - before for before, after in zip(plain, calibrated, strict=True)]
    return [
        Row("a question about a cached video", 1000 * statistics.median(plain), "ms"),
        Row("the same with a calibration", 1000 * statistics.median(calibrated), "ms"),
        Row("cost of confidence", 1000 * statistics.median(gain), "ms", "below 1", statistics.median(gain) < 1e-3),
    ]


def _median(http: httpx2.Client, video: str) -> float:
    spent = []
    for _ in range(QUESTIONS // 10):
        start = time.perf_counter()
        http.post(f"/v1/videos/{video}/classify", json={"labels": ["a cat", "a dog"]}).raise_for_status()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


def _calibration(digest: str, number: int) -> Calibration:
    return Calibration(
        id=f"cal_{number:024x}",
        version=0,
        model="lite",
        digest=digest,
        label_set=None,
        scope=ANY,
        created_at=time.time(),
        dataset="ds_" + "0" * 24,
        clips=20,
        classes=4,
        skipped=0,
        left_out="classes",
        null_version=NULL_VERSION,
        bias=-2.0,
        above_mean=20.0,
        above_best=5.0,
        informative=True,
        measures=[],
    )


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))
