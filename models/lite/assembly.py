"""`lite`: a weak but real recogniser that needs no download. Its weights come with pip packages (design §6).

Image tower: EfficientNet-Lite1 and -Lite2 with their ImageNet classifiers. Text tower: all-MiniLM-L6-v2. They are
aligned once, in closed form (alignment.py), into a directory with model.safetensors and card.json; after that it loads
in seconds. The digests are taken of the packages' weights and of RECIPE, not of what was solved: linear algebra
differs in its last bits between machines.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.image.time_blocks import CNN_HEADS, TimeConv
from models.lite import alignment, backbones
from models.profiles.profile import Profile
from models.profiles.zoo import ENTRIES
from models.recognition.base import Base
from models.recognition.temporal import MeanPool
from models.recognition.video_model import ImageTower, NamedParameters
from models.text import sentence
from models.text.encoders import SentenceTexts
from models.weights.digests import digest
from models.weights.states import StateDict, WeightsUnavailable, weights_digest

Progress = Callable[[str, float], None]

RECIPE = 1  # raise it whenever the same packages would give other vectors

# exp(s), found without data: each ImageNet class in turn is left out of the ridge fit, and its classifier row must
# pick its own name among 5, 20 or 100; the likelihood is highest at 15, 16 and 16 (and the pick right for 79, 62 and
# 35 %).
LOGIT_SCALE = 16.0

_WEIGHTS, _CARD, _TOKENIZER = "model.safetensors", "card.json", "tokenizer.json"


class Eye(nn.Module):
    """One image network and its two readings of a frame."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.backbone = backbones.Backbone(name)
        self.projection = nn.Parameter(torch.empty(backbones.WIDTH, sentence.WIDTH))  # P [F, d]

    def forward(self, pixels: Tensor, targets: Tensor) -> Tensor:
        """[N, 3, S, S] → ConSE and ridge vectors, float32 [2, N, d]."""
        return self.read(self.backbone.features(pixels), targets)

    def read(self, features: Tensor, targets: Tensor) -> Tensor:
        """[N, F] → the same."""
        logits = self.backbone.classifier(features)  # [N, C]
        return torch.stack([alignment.conse(logits, targets), features @ self.projection])  # [2, N, d]


class LiteModel(nn.Module):
    """Both towers and what aligns them, named as in the file."""

    targets: Tensor
    centre: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.eyes = cast("list[Eye]", nn.ModuleList(Eye(name) for name in backbones.NAMES))
        self.encoder = sentence.SentenceEncoder()
        self.register_buffer("targets", torch.empty(backbones.CLASSES, sentence.WIDTH))  # centred E [C, d]
        self.register_buffer("centre", torch.empty(sentence.WIDTH))  # mean of E [d]


class LiteTower(ImageTower):
    """The image half; lands in the sentence encoder's centred space. The trunk is both networks up to their pooled
    features, the neck what reads these: ImageNet classifiers and ridge projections."""

    heads = CNN_HEADS
    targets: Tensor

    def __init__(self, model: LiteModel) -> None:
        super().__init__()
        self.dim = sentence.WIDTH
        self.eyes = model.eyes
        self.register_buffer("targets", model.targets)

    def trunk(self, pixels: Tensor, clip: int = 1) -> Tensor:
        """→ float32 [N, 2F]."""
        convs = cast("list[TimeConv]", list(self.time_blocks))
        each = len(convs) // len(self.eyes)
        seen = [
            eye.backbone.features(pixels, convs[i * each : (i + 1) * each], clip, self._step)
            for i, eye in enumerate(self.eyes)
        ]  # each [N, F]
        return torch.cat(seen, dim=1)

    def neck(self, x: Tensor) -> Tensor:
        features = torch.split(x, backbones.WIDTH, dim=1)  # each [N, F]
        read = [eye.read(mine, self.targets) for eye, mine in zip(self.eyes, features, strict=True)]  # each [2, N, d]
        by_probability, by_projection = torch.stack(read).sum(dim=0)  # [N, d], [N, d]
        return alignment.combine(by_probability, by_projection)

    def projection_parameters(self) -> NamedParameters:
        return (item for item in self.named_parameters() if ".classifier." in item[0] or ".projection" in item[0])

    def time_widths(self) -> list[int]:
        return [width for eye in self.eyes for width in eye.backbone.late_widths()]

    def serve(self, device: torch.device, dtype: torch.dtype) -> None:
        """Only the convolutions change type: classifiers and alignment are small and stay float32."""
        self.eval().requires_grad_(False).to(device)
        self.time_blocks.to(dtype)
        for eye in self.eyes:
            backbones.fold(eye.backbone.trunk)
            eye.backbone.trunk.to(dtype=dtype).to(memory_format=torch.channels_last)


def open_lite(directory: Path, progress: Progress = lambda *_: None) -> Base:
    """The base in `directory`, assembled there first where it is missing or of another recipe. Raises:
    WeightsUnavailable."""
    if not _is_current(directory):
        assemble(directory, progress)
    progress("loading lite", 0.0)
    try:
        model = read_model(directory)
    except (SafetensorError, OSError, RuntimeError):  # damaged, or of an older layout: the packages have it all
        _move_away(directory)
        assemble(directory, progress)
        model = read_model(directory)
    card: dict[str, Any] = json.loads((directory / _CARD).read_text(encoding="utf-8"))
    progress("lite is loaded", 1.0)
    return Base(
        name="lite",
        architecture="lite",
        tower=LiteTower(model),
        temporal=MeanPool(),
        temporal_kind="mean",
        texts=lite_texts(model, directory / _TOKENIZER, card["text_digest"]),
        profile=Profile.from_dict(card["profile"]),
        dim=sentence.WIDTH,
        logit_scale=float(card["logit_scale"]),
        text_width=sentence.WIDTH,
        digest=card["digest"],
    )


def lite_texts(model: LiteModel, tokenizer: Path, digest: str) -> SentenceTexts:
    return SentenceTexts(model.encoder, model.centre, sentence.open_tokenizer(tokenizer), digest)


def read_model(directory: Path) -> LiteModel:
    """The assembled modules, in float32. Raises: SafetensorError, OSError, RuntimeError."""
    model = LiteModel()
    model.load_state_dict(load_file(directory / _WEIGHTS))
    return model


def assemble(directory: Path, progress: Progress = lambda *_: None) -> None:
    """Build `lite` from the installed packages into `directory`, which appears whole or not at all; several processes
    may do so at once. Raises: WeightsUnavailable where a package is missing."""
    progress("assembling lite: reading the packages", 0.0)
    images = {name: backbones.source_state(name) for name in backbones.NAMES}
    texts = sentence.source_state()
    progress("assembling lite: reading ImageNet's class names", 0.2)
    model = _align(images, texts)
    progress("assembling lite: writing it down", 0.8)
    directory.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, scratch / _WEIGHTS)
        shutil.copyfile(sentence.package_folder() / _TOKENIZER, scratch / _TOKENIZER)
        (scratch / _CARD).write_text(json.dumps(_card(images, texts), indent=1) + "\n", encoding="utf-8")
        _publish(scratch, directory)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    progress("lite is assembled", 1.0)


@torch.inference_mode()
def _align(images: dict[str, StateDict], texts: StateDict) -> LiteModel:
    model = LiteModel().eval()
    model.encoder.load_state_dict(sentence.translate(texts))
    tokenizer = sentence.open_tokenizer(sentence.package_folder() / _TOKENIZER)
    names, _ = sentence.encode(model.encoder, tokenizer, alignment.class_names())  # E [C, d]
    model.centre.copy_(names.mean(dim=0))
    model.targets.copy_(names - model.centre)
    for (name, state), eye in zip(images.items(), model.eyes, strict=True):
        eye.backbone.load_state_dict(backbones.translate(name, state))
        eye.projection.copy_(alignment.ridge(eye.backbone.classifier.weight, model.targets))
    return model


def _card(images: dict[str, StateDict], texts: StateDict) -> dict[str, Any]:
    """What card.json says; a pure function of the packages, so that it is the same on every machine."""
    profile = ENTRIES["lite"].profile
    sources = {name: weights_digest(state) for name, state in images.items()}
    sources["all-MiniLM-L6-v2"] = weights_digest(texts)
    tokenizer = (sentence.package_folder() / _TOKENIZER).read_bytes()
    return {
        "name": "lite",
        "recipe": RECIPE,
        "profile": profile.to_dict(),
        "dim": sentence.WIDTH,
        "logit_scale": LOGIT_SCALE,
        "temporal": "mean",
        "sources": sources,
        "digest": digest("lite", RECIPE, *(part for item in sources.items() for part in item)),
        "text_digest": digest("lite-text", RECIPE, sources["all-MiniLM-L6-v2"], tokenizer, sentence.CONTEXT_LENGTH),
    }


def _is_current(directory: Path) -> bool:
    try:
        card = json.loads((directory / _CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(card.get("recipe") == RECIPE and card.get("profile") == ENTRIES["lite"].profile.to_dict())


def _publish(scratch: Path, directory: Path) -> None:
    """Give the finished directory its name. Where another process was first, its copy is as good; an outdated one is
    moved out of the way. Raises: OSError."""
    for _ in range(3):
        try:
            os.rename(scratch, directory)  # noqa: PTH104 -- Path.rename would do the same; this one is atomic by POSIX
        except OSError:
            if _is_current(directory):
                return
            _move_away(directory)
        else:
            return
    raise WeightsUnavailable("The directory models/lite in the data directory cannot be written.", "Check who owns it.")


def _move_away(directory: Path) -> None:
    try:
        outdated = Path(tempfile.mkdtemp(prefix=f".{directory.name}-old-", dir=directory.parent))
        directory.rename(outdated / directory.name)
    except FileNotFoundError:  # somebody else just did
        return
    shutil.rmtree(outdated, ignore_errors=True)
