"""What it does to pixels and answers that frames are converted and reduced in one pass, instead of by two programs.

    python -m benchmarks.frame_reduction [--clips N]

Two passes: swscale converts the frame at its full size, Pillow cuts the crop. One pass: swscale does both. Both are
compared with an exact conversion that Pillow reduces, in levels of 255, and by what `lite` answers. Clips: those of
VIREO_CLIPS (default ../shared/clips), and patterns that are hard to reduce.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from torch import Tensor

from benchmarks.report import Row, report
from models.classifier.ensemble import build_rows
from models.files.bases import open_lite
from models.frames.arrays import UInt8Array
from models.frames.sampling import frame_indices
from models.frames.transforms import crop_frame, crop_picture
from models.profiles.profile import Profile
from models.recognition.recognizer import Recognizer
from models.recognition.scoring import score
from worker.video.colour import ShownFrame

DEFAULT = Path(__file__).parents[2] / "shared" / "clips"
CLIP = Profile("bench", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 224, 224, ("{}",))
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
WAYS = ("two passes", "one pass")
CPU = torch.device("cpu")


def main(argv: list[str] | None = None) -> bool:
    options = argparse.ArgumentParser(prog="python -m benchmarks.frame_reduction")
    options.add_argument("--clips", type=int, default=10_000, help="at most so many of each folder")
    chosen = options.parse_args(argv)
    rows = [row for name, frame in patterns() for row in _levels(name, [crops_of(frame, CLIP)])]
    folder = Path(os.environ.get("VIREO_CLIPS", DEFAULT))
    if not (folder / "manifest.csv").exists():
        print(f"skipped: no clips at {folder}")
        return report("frame_reduction", rows)
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as scratch:
        recognizer = open_lite(Path(scratch) / "lite").recognizer(CPU, torch.float32)
    for name in ("actions20", "dark6", "fight2"):
        rows += real(folder, name, recognizer, chosen.clips)
    return report("frame_reduction", rows)


def patterns() -> Iterator[tuple[str, VideoFrame]]:
    """1920×1080, with detail that a model's 224 pixels cannot show."""
    x, y = np.meshgrid(np.arange(1920), np.arange(1080))
    grey = np.full((540, 1920), 128, np.uint8)
    stripes = np.where(x // 2 % 2, 235, 16).astype(np.uint8)
    rings = (125.5 + 109.5 * np.cos((x**2 + y**2) / 900)).astype(np.uint8)
    edge = np.where(x + 0.3 * y > 1000, 235, 16).astype(np.uint8)
    for name, luma in (("stripes of 2 pixels", stripes), ("a zone plate", rings), ("a slanted edge", edge)):
        yield name, VideoFrame.from_ndarray(np.concatenate([luma, grey]), "yuv420p")
    colours = np.where(x[:540, :960] // 24 % 2, 90, 160).astype(np.uint8)  # [540, 960]
    chroma = np.concatenate([colours, 255 - colours]).reshape(540, 1920)
    yield (
        "stripes of colour",
        VideoFrame.from_ndarray(np.concatenate([np.full((1080, 1920), 128, np.uint8), chroma]), "yuv420p"),
    )


def crops_of(frame: VideoFrame, profile: Profile) -> dict[str, UInt8Array]:
    """uint8 [S, S, 3] by each way, and "exact"."""
    picture = ShownFrame(frame, VideoReformatter())
    exact = VideoReformatter().reformat(
        frame,
        format="rgb24",
        src_colorspace=Colorspace.ITU709 if frame.height >= 577 else Colorspace.ITU601,
        dst_color_range=ColorRange.JPEG,
        interpolation=EXACT,
    )
    return {
        "exact": crop_frame(np.asarray(exact.to_ndarray(), np.uint8), profile)[0],
        "two passes": crop_frame(picture.pixels(), profile)[0],
        "one pass": crop_picture(picture, profile)[0],
    }


def real(folder: Path, name: str, recognizer: Recognizer, most: int) -> list[Row]:
    with (folder / "manifest.csv").open() as listing:
        clips = [row for row in csv.DictReader(listing) if row["path"].startswith(f"{name}/")][:most]
    labels = sorted({clip["label"] for clip in clips})
    texts, _ = build_rows(
        recognizer.encode_texts, [(label, None) for label in labels], recognizer.profile.templates, False
    )
    frames: list[dict[str, UInt8Array]] = []
    scores: dict[str, list[Tensor]] = {way: [] for way in ("exact", *WAYS)}
    for clip in clips:
        sampled = [crops_of(frame, recognizer.profile) for frame in sample(folder / clip["path"], recognizer.profile)]
        frames += sampled
        for way, found in scores.items():
            found.append(answer(recognizer, np.stack([crops[way] for crops in sampled]), texts))
    return [*_levels(name, frames), *_answers(name, scores, [labels.index(clip["label"]) for clip in clips])]


def sample(path: Path, profile: Profile) -> list[VideoFrame]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [frames[index] for index in frame_indices(len(frames), profile.frames, profile.sampling)[0]]


def answer(recognizer: Recognizer, crops: UInt8Array, texts: Tensor) -> Tensor:
    """crops: uint8 [T, S, S, 3] → probabilities [C]."""
    video = recognizer.pool(recognizer.encode_frames(crops).unsqueeze(0))  # [1, T, d] → [1, d]
    cosines = score(video, texts, recognizer.logit_scale, recognizer.profile.aggregate).similarities  # [C]
    return (recognizer.logit_scale * cosines).softmax(dim=-1)


def _levels(name: str, frames: list[dict[str, UInt8Array]]) -> list[Row]:
    rows = []
    for way in WAYS:
        off = [np.abs(crops[way].astype(int) - crops["exact"]) for crops in frames]
        rows.append(Row(f"{name}, {way}: mean error", float(np.mean(off)), "levels"))
        rows.append(Row(f"{name}, {way}: largest error", float(np.max(off)), "levels"))
    return rows


def _answers(name: str, scores: dict[str, list[Tensor]], truth: list[int]) -> list[Row]:
    found = {way: torch.stack(each) for way, each in scores.items()}  # [clips, C]
    rows = [
        Row(f"{name}, {way}: right", 100 * float((each.argmax(dim=1) == torch.tensor(truth)).float().mean()), "%")
        for way, each in found.items()
    ]
    for way in WAYS:
        same = (found[way].argmax(dim=1) == found["exact"].argmax(dim=1)).float().mean()
        moved = (found[way] - found["exact"]).abs().mean()
        rows.append(Row(f"{name}, {way}: same first label as exact", 100 * float(same), "%"))
        rows.append(Row(f"{name}, {way}: mean |Δ probability|", float(moved), ""))
    return rows


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))
