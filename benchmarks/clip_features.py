"""Frozen features of labelled clips, extracted once and kept on disk, for benchmarks that fit heads on them."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import small_world
from benchmarks.report import RESULTS
from core.settings import Settings
from models.classifier.ensemble import build_rows
from models.files.bases import open_base
from models.frames.arrays import UInt8Array
from models.frames.sampling import Views
from models.image.pixels import normalised
from models.profiles.profile import Profile
from models.recognition.base import Base
from worker.decoding.dataset_clips import ClipReader, Sample
from worker.decoding.pool import DecodePool

CLIPS = Path(__file__).parents[2] / "shared" / "clips"
KEPT = RESULTS / "features"
PIECES = 8  # of each clip of actions20
FILMS = 60  # per class of a rendered world
CLASSES = 12  # of a rendered world; as many others are novel
ENLARGED_FRAMES = 1  # of a film that `lite` sees


@dataclass(frozen=True, slots=True)
class ClipFeatures:
    """x: what the trunk gives [n, T, F]; v: video vectors [n, d]; labels: int64 [n]; rows: unit rows of all classes
    [C, d]; piece: int64 [n], which part of its film a clip is (0 if it is whole); novel: classes never trained on."""

    x: Tensor
    v: Tensor
    labels: Tensor
    rows: Tensor
    scale: float
    names: tuple[str, ...]
    piece: Tensor
    novel: tuple[int, ...] = ()


def open_features(name: str, make: Callable[[], ClipFeatures]) -> ClipFeatures:
    """Those on disk, or new ones."""
    path = KEPT / f"{name}.pt"
    if path.exists():
        kept = torch.load(path, weights_only=True)
        return ClipFeatures(**kept)
    made = make()
    KEPT.mkdir(parents=True, exist_ok=True)
    torch.save({field: getattr(made, field) for field in ClipFeatures.__slots__}, path)
    return made


@torch.inference_mode()
def extract(
    base: Base,
    clips: Iterator[tuple[int, int, UInt8Array]],
    names: Sequence[str],
    profile: Profile,
    novel: tuple[int, ...] = (),
) -> ClipFeatures:
    """clips: class, piece and frames uint8 [T, S, S, 3]."""
    model = base.video_model("mean").eval()
    dtype = torch.bfloat16 if base.architecture == "lite" else torch.float32  # as served, where bf16 is native
    model.tower.serve(torch.device("cpu"), dtype)
    rows, _ = build_rows(base.text_encoder.encode, [(name, None) for name in names], profile.templates, True)
    found: list[tuple[int, int, Tensor, Tensor]] = []
    for label, piece, frames in clips:
        pixels = normalised(torch.from_numpy(frames), profile, torch.device("cpu")).unsqueeze(0)  # [1, T, 3, S, S]
        x = model.trunk(pixels.to(dtype)).float()  # [1, T, F]
        found.append((label, piece, x[0], model.from_trunk(x)[0]))
    labels, pieces, outputs, videos = zip(*found, strict=True)
    return ClipFeatures(
        x=torch.stack(outputs),
        v=torch.stack(videos),
        labels=torch.tensor(labels),
        rows=rows,
        scale=base.logit_scale,
        names=tuple(names),
        piece=torch.tensor(pieces),
        novel=novel,
    )


def real_clips(name: str, base: Base, settings: Settings) -> ClipFeatures:
    """A folder of VIREO_CLIPS. The clips of actions20 are cut into pieces."""
    folder = Path(os.environ.get("VIREO_CLIPS", CLIPS))
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        listed = [(row["path"], row["label"]) for row in csv.DictReader(file) if row["path"].startswith(f"{name}/")]
    names = sorted({label for _, label in listed})
    pieces = PIECES if name == "actions20" else 1
    frames = base.profile.frames if pieces == 1 else 4
    samples = [Sample(folder / path, names.index(label)) for path, label in listed]

    def clips() -> Iterator[tuple[int, int, UInt8Array]]:
        with DecodePool.from_settings(settings, 2) as pool:
            reader = ClipReader(pool, base.profile, frames * pieces, ahead=4)
            for place, found in reader.views(samples, Views()):
                for piece in range(pieces):
                    yield samples[place].label, piece, found[0][piece * frames : (piece + 1) * frames]

    return extract(base, clips(), names, base.profile)


def rendered(base: Base, size: int, frames: int) -> ClipFeatures:
    """Films of coloured shapes. size: pixels that the base reads."""
    rng = np.random.default_rng(7)
    names = [str(name) for name in rng.permutation(small_world.NAMES)[: 2 * CLASSES]]

    def clips() -> Iterator[tuple[int, int, UInt8Array]]:
        for label, name in enumerate(names):
            for _ in range(FILMS if size == small_world.SIDE else FILMS // 2):
                film = small_world.film(rng, name, frames)  # [T, 32, 32, 3]
                if size != small_world.SIDE:
                    at = (np.arange(size) * small_world.SIDE) // size
                    film = np.ascontiguousarray(film[:, at][:, :, at])  # [T, S, S, 3]
                yield label, 0, film

    return extract(base, clips(), names, base.profile, tuple(range(CLASSES, 2 * CLASSES)))


def small_world_base(data_dir: Path) -> Base:
    if not (data_dir / "weights" / "small-world.safetensors").exists():
        small_world.pretrain(data_dir)
    return open_base("small-world", data_dir=data_dir, progress=lambda *_: None)


def all_features() -> dict[str, ClipFeatures]:
    data_dir = RESULTS / "data"
    settings = Settings(data_dir=data_dir, device="cpu", decode_deadline=120.0)
    lite: list[Base] = []

    def base() -> Base:
        if not lite:
            lite.append(open_base("lite", data_dir=data_dir, progress=lambda *_: None))
        return lite[0]

    found = {
        name: open_features(name, lambda name=name: real_clips(name, base(), settings))  # type: ignore[misc]
        for name in ("fight2", "dark6", "actions20")
    }
    found["world"] = open_features("world", lambda: rendered(small_world_base(data_dir), small_world.SIDE, 4))
    found["shapes"] = open_features("shapes", lambda: rendered(base(), base().profile.size, ENLARGED_FRAMES))
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, features in all_features().items():
        print(name, tuple(features.x.shape), tuple(features.v.shape), features.names)
