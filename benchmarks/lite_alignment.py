"""How well `lite` reads real footage, by each way to align its towers: ridge, ConSE, and both.

    python -m benchmarks.lite_alignment [FOLDER]

FOLDER holds one folder of clips per label (default: `actions20` under VIREO_CLIPS, else ../shared/clips). Evaluation
only: nothing of `lite` was fitted to clips. Twenty clips are few: one more or less is 5 points.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.report import Row, report
from models.classifier.ensemble import build_rows
from models.files.bases import open_lite
from models.frames.sampling import frame_indices
from models.frames.transforms import crop_frame
from models.lite import alignment, assembly
from models.lite.network import LiteModel
from models.profiles.profile import Profile
from models.recognition.recognizer import Recognizer
from models.recognition.scoring import score

DEFAULT = Path(__file__).parents[2] / "shared" / "clips"


def main(folder: Path | None = None) -> bool:
    """Prints the table; true where the way that `lite` uses reaches 50 % (first) and 85 % (among the first five)."""
    folder = folder or Path(os.environ.get("VIREO_CLIPS", DEFAULT)) / "actions20"
    clips = [(path.parent.name.replace("_", " "), path) for path in sorted(folder.glob("*/*.mp4"))]
    if not clips:
        print(f"skipped: no clips at {folder}")
        return True
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as scratch:
        recognizer = open_lite(Path(scratch) / "lite").recognizer(torch.device("cpu"), torch.float32)
        model = assembly.read_lite(Path(scratch) / "lite")
    labels = sorted({label for label, _ in clips})
    rows, _ = build_rows(
        recognizer.encode_texts, [(label, None) for label in labels], recognizer.profile.templates, False
    )
    places: dict[str, list[int]] = {}
    for label, path in clips:
        for way, features in _ways(model, _pixels(path, recognizer.profile)).items():
            places.setdefault(way, []).append(_place(recognizer, features, rows, labels.index(label)))
    table = [row for way, found in places.items() for row in _rows(way, np.array(found))]
    return report("lite_alignment", table + _left_out_names(model, recognizer))


@torch.inference_mode()
def _ways(model: LiteModel, pixels: Tensor) -> dict[str, Tensor]:
    """Frame vectors [T, d] by each network and each alignment."""
    model.eval()
    seen = {eye.name: eye(pixels, model.targets) for eye in model.eyes}  # each [2, T, d]
    seen["both networks"] = torch.stack(list(seen.values())).sum(dim=0)
    ways = {}
    for network, (by_probability, by_projection) in seen.items():
        ways[f"{network}, ConSE"] = by_probability
        ways[f"{network}, ridge"] = by_projection
        ways[f"{network}, both ways"] = alignment.combine(by_probability, by_projection)
    return ways


def _pixels(path: Path, profile: Profile) -> Tensor:
    """The profile's frames of a short clip, normalised: float32 [T, 3, S, S]."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    chosen = frame_indices(len(frames), profile.frames, profile.sampling)[0]  # [T]
    crops = np.concatenate([crop_frame(frames[index].to_ndarray(format="rgb24"), profile) for index in chosen])
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255  # [T, 3, S, S]
    return (pixels - torch.tensor(profile.mean).view(1, 3, 1, 1)) / torch.tensor(profile.std).view(1, 3, 1, 1)


def _place(recognizer: Recognizer, features: Tensor, rows: Tensor, truth: int) -> int:
    """How many labels stand before the right one."""
    views = recognizer.pool(features.unsqueeze(0))  # [1, T, d] → [1, d]
    cosines = score(views, rows, recognizer.logit_scale, recognizer.profile.aggregate).similarities  # [C]
    return int((cosines > cosines[truth]).sum())


def _rows(way: str, places: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> list[Row]:
    first, five = 100 * float((places < 1).mean()), 100 * float((places < 5).mean())
    if way != "both networks, both ways":
        return [Row(f"{way}: first", first, "%"), Row(f"{way}: among five", five, "%")]
    return [
        Row(f"{way}: first", first, "%", "at least 50 %", first >= 50),
        Row(f"{way}: among five", five, "%", "at least 85 %", five >= 85),
    ]


@torch.inference_mode()
def _left_out_names(model: LiteModel, recognizer: Recognizer, among: int = 20) -> list[Row]:
    """Without any clip: each ImageNet class in turn is left out of the ridge fit, and its classifier row must find its
    own
    name among `among`. Where the likelihood is highest is the LOGIT_SCALE of `lite`."""
    found = sum(_left_out(eye.backbone.classifier.weight.double(), model.targets.double()) for eye in model.eyes)
    names, _ = build_rows(
        recognizer.encode_texts, [(name, None) for name in alignment.class_names()], recognizer.profile.templates, False
    )  # [C, d]
    cosines = normalize(torch.as_tensor(found).float(), dim=-1) @ names.T  # [C, C]
    generator = torch.Generator().manual_seed(0)
    others = torch.stack([torch.randperm(len(names) - 1, generator=generator)[: among - 1] for _ in names])
    others += others >= torch.arange(len(names)).unsqueeze(1)  # never the class itself
    asked = torch.cat([cosines.diagonal().unsqueeze(1), cosines.gather(1, others)], dim=1)  # [C, among], truth first
    likelihood = {scale: float((scale * asked).log_softmax(dim=1)[:, 0].mean()) for scale in range(2, 41)}
    best = max(likelihood, key=lambda scale: likelihood[scale])
    right = 100 * float((asked.argmax(dim=1) == 0).float().mean())
    return [
        Row(f"an unseen class among {among} names: first", right, "%"),
        Row(
            "scale of highest likelihood",
            best,
            "",
            f"within 2 of {assembly.LOGIT_SCALE:.0f}",
            abs(best - assembly.LOGIT_SCALE) <= 2,
        ),
    ]


def _left_out(classifier: Tensor, targets: Tensor) -> Tensor:
    """Unit predictions [C, d] for every class by the ridge fit that never saw it (the closed form of leave-one-out)."""
    rows = classifier - classifier.mean(dim=0)  # [C, F]
    gram = rows @ rows.T  # [C, C]
    penalty = alignment.RIDGE_STRENGTH * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    hat = torch.linalg.solve(gram + penalty, gram)  # [C, C]
    leverage = hat.diagonal().unsqueeze(1)  # [C, 1]
    return normalize((hat @ targets - leverage * targets) / (1 - leverage), dim=-1)


if __name__ == "__main__":
    sys.exit(not main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
