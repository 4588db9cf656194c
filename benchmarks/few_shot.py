"""Few clips per class: a frozen text classifier against a learned one (vision-only), on any folders of clips.

    python -m benchmarks.few_shot [FOLDER…]

FOLDER holds a folder per class, or clips that a manifest.csv in it or beside it lists (path,label[,split]); default:
`fight2` and `dark6` under VIREO_CLIPS, else ../shared/clips. Each is imported as an upload would be: what has no split
gets a seeded, stratified one. Those clips are evaluation data, and no setting was chosen by what comes out here.

The protocol, written down before the first run: base `lite`; recipe `default` with everything that it says (10 epochs
over shots that are repeated to the length of an epoch over all clips, rate 1e-3, the mean over 8 frames, one template);
`tune=projection`, because then the trunk runs once per clip and 2 cores do; augmentation off for the same reason. The
two classifiers differ in W alone. K = 1, 2, 4, 8 and all clips of the train split; seeds 0, 1 and 2 draw shots, order
and the learned rows; the last epoch is judged, single view, top-1 on the val (or test) split. ± is the sample's
standard deviation over seeds; that the split itself has few clips is not in it: of 40, one more or less is 2.5 points.

What the paper says (P1 Table 3 and §4.2): text wins, and most where K is small. Where zero-shot is at chance, as on
these two, text rows start from nothing useful either: nothing was promised here beforehand.
"""

from __future__ import annotations

import csv
import hashlib
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from benchmarks.report import Row, report
from benchmarks.trials import CPU, Looked, Shares, right, top1
from core.datasets import Dataset, DatasetRequest, archive_key, dataset_key
from core.settings import Settings
from core.storage import Store
from core.training_requests import TrainingRequest
from models.classifier.inputs import TextInputs
from models.classifier.rows import build_classifier
from models.files.bases import open_base
from models.recognition.base import Base
from worker.datasets.preparation import prepare_dataset
from worker.decoding.dataset_clips import ClipReader, Sample
from worker.decoding.pool import DecodePool
from worker.jobs.cancellation import CancelToken
from worker.training.run.division import divide_dataset, samples_of
from worker.training.run.feeds import precompute_trunk
from worker.training.run.order import Pick

DEFAULT = Path(__file__).parents[2] / "shared" / "clips"
SHOTS = (1, 2, 4, 8, None)
SEEDS = (0, 1, 2)
KINDS = ("text", "learned")


def main(folders: list[Path] | None = None) -> bool:
    clips = Path(os.environ.get("VIREO_CLIPS", DEFAULT))
    folders = folders or [clips / "fight2", clips / "dark6"]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as scratch:
        settings = Settings(data_dir=Path(scratch), device="cpu", decode_deadline=120.0)
        with DecodePool(2, 120.0, 2 << 30, settings.max_video_pixels, settings.max_video_seconds) as pool:
            for folder in folders:
                if not folder.is_dir():
                    print(f"skipped: no clips at {folder}")
                    continue
                rows += compare(folder, settings, pool)
    return report("few_shot", rows) if rows else True


def compare(folder: Path, settings: Settings, pool: DecodePool) -> list[Row]:
    base = open_base("lite", data_dir=settings.data_dir, progress=lambda *_: None)
    dataset, clips = imported(folder, settings, pool)
    places, looked = look(base, dataset, clips, pool)
    held_out = looked[[places[item.sha256] for item in (dataset.of("test") or dataset.of("val"))]]
    print(f"{folder.name}: {dataset.splits}, {len(dataset.labels)} classes")
    rows = [Row(f"{folder.name}, untrained", untrained(base, dataset, held_out), "%")]
    for shots in SHOTS:
        if shots is not None and shots > min(counted.train for counted in dataset.classes):
            continue
        found: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for seed in SEEDS:
            for kind in KINDS:
                asked = request(dataset, kind, shots, seed)
                division = divide_dataset(asked, dataset, seed)
                drawn = looked[[places[item.sha256] for item in division.train]]
                found[kind].append(top1(base, asked, division.classes, drawn, division.available, held_out))
        shares = {kind: Shares(tuple(found[kind])) for kind in KINDS}
        gains = Shares(tuple(a - b for a, b in zip(*(shares[kind].by_seed for kind in KINDS), strict=True)))
        name = f"{folder.name}, K = {shots or 'all'}"
        rows += [shares["text"].row(f"{name}: text"), shares["learned"].row(f"{name}: learned")]
        rows.append(gains.row(f"{name}: text - learned"))
    return rows


def request(dataset: Dataset, kind: str, shots: int | None, seed: int) -> TrainingRequest:
    return TrainingRequest(
        name="few-shot",
        dataset=dataset.id,
        base="lite",
        classifier=kind,
        tune="projection",
        augment=False,
        shots=shots,
        seed=seed,
    )


def untrained(base: Base, dataset: Dataset, held_out: Looked) -> float:
    """Top-1 of the base as it is served."""
    inputs = TextInputs("templates", base.profile.templates)
    w = build_classifier("text", labels=dataset.labels, encoder=base.text_encoder, inputs=inputs, dim=base.dim, seed=0)
    return right(held_out, base.video_model("mean"), w.rows())


def look(base: Base, dataset: Dataset, clips: Path, pool: DecodePool) -> tuple[dict[str, int], Looked]:
    """The trunk's answers for all clips; sha256 → place among them. Raises: ValueError where one cannot be decoded."""
    reader = ClipReader(pool, base.profile, base.profile.frames)
    everything: list[Sample] = samples_of(dataset.items, dataset.labels, clips)
    model = base.video_model("mean").eval()
    feed = precompute_trunk(model, reader, everything, base.profile, CPU)
    seen = next(feed.stream([[Pick(place, 0, 1.0) for place in range(len(everything))]]))
    if not bool(seen.weights.all()):
        raise ValueError(f"clips that an import has accepted cannot be read: {reader.skipped}")
    return {item.sha256: place for place, item in enumerate(dataset.items)}, Looked(seen.x, seen.targets, True)


def imported(folder: Path, settings: Settings, pool: DecodePool) -> tuple[Dataset, Path]:
    """The folder as a dataset, by the product's own import; and where its clips are."""
    store = Store(settings.store_url, settings.data_dir / "spool")
    with store.stage() as staged:
        with zipfile.ZipFile(staged.path, "w") as archive:
            for name, data in members(folder):
                archive.writestr(name, data)
        key = archive_key(hashlib.sha256(staged.path.read_bytes()).hexdigest())
        store.publish(staged, key)
    made = prepare_dataset(
        DatasetRequest(archive=key, name=folder.name),
        store=store,
        decoders=pool,
        settings=settings,
        token=CancelToken(),
        report_progress=lambda _: None,
    )
    with store.local_tree(dataset_key(made["dataset"]), marker="dataset.json") as tree:  # the store is a directory
        pass
    return Dataset.model_validate_json((tree / "dataset.json").read_text(encoding="utf-8")), tree / "clips"


def members(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Clips under the paths that the manifest gives them, and of a manifest beside the folder its own rows."""
    inside, beside = folder / "manifest.csv", folder.parent / "manifest.csv"
    root = folder.parent if beside.exists() and not inside.exists() else folder
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != inside:
            yield str(path.relative_to(root)), path.read_bytes()
    manifest = root / "manifest.csv"
    if not manifest.exists():
        return
    with manifest.open(encoding="utf-8", newline="") as file:
        listed = [row for row in csv.DictReader(file) if (root / row["path"]).is_relative_to(folder)]
    kept = [name for name in ("path", "label", "split") if listed and name in listed[0]]
    text = StringIO()
    writer = csv.DictWriter(text, kept, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(listed)
    yield "manifest.csv", text.getvalue().encode()


if __name__ == "__main__":
    sys.exit(not main([Path(name) for name in sys.argv[1:]] or None))
