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

from models import alignment, backbones, sentence
from models.digest import digest
from models.profile import Profile
from models.recognizer import Recognizer
from models.weights import StateDict, WeightsUnavailable, weights_digest
from models.zoo import ENTRIES

Progress = Callable[[str, float], None]

RECIPE = 1  # raise it whenever the same packages would give other vectors

# exp(s), found without data: each ImageNet class in turn is left out of the ridge fit, and its classifier row must
# pick its own name among 5, 20 or 100; the likelihood is highest at 15, 16 and 16 (and the pick right for 79, 62 and
# 35 %).
LOGIT_SCALE = 16.0

_WEIGHTS, _CARD, _TOKENIZER = "model.safetensors", "card.json", "tokenizer.json"


class Eye(nn.Module):
    """One image network and its two readings of a frame."""

    projection: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.backbone = backbones.Backbone(name)
        self.register_buffer("projection", torch.empty(backbones.WIDTH, sentence.WIDTH))  # P [F, d]

    def forward(self, pixels: Tensor, targets: Tensor) -> Tensor:
        """[N, 3, S, S] → ConSE and ridge vectors, float32 [2, N, d]."""
        features, logits = self.backbone(pixels)  # [N, F], [N, C]
        return torch.stack([alignment.conse(logits, targets), features @ self.projection])


class LiteModel(nn.Module):
    """Both towers and what aligns them; `forward` of either lands in the sentence encoder's centred space."""

    targets: Tensor
    centre: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.eyes = cast("list[Eye]", nn.ModuleList(Eye(name) for name in backbones.NAMES))
        self.encoder = sentence.SentenceEncoder()
        self.register_buffer("targets", torch.empty(backbones.CLASSES, sentence.WIDTH))  # centred E [C, d]
        self.register_buffer("centre", torch.empty(sentence.WIDTH))  # mean of E [d]

    def image(self, pixels: Tensor) -> Tensor:
        """[N, 3, S, S] → float32 [N, d]."""
        seen = [eye(pixels, self.targets) for eye in self.eyes]  # each [2, N, d]
        by_probability, by_projection = torch.stack(seen).sum(dim=0)  # [N, d], [N, d]
        return alignment.combine(by_probability, by_projection)

    def serve(self, device: torch.device, dtype: torch.dtype) -> LiteModel:
        """Ready for inference on a device. Only the convolutions change type: classifier, alignment and texts are small
        and stay float32."""
        self.eval().requires_grad_(False).to(device)
        for eye in self.eyes:
            backbones.fold(eye.backbone.trunk)
            eye.backbone.trunk.to(dtype=dtype).to(memory_format=torch.channels_last)
        return self


def load_lite(
    directory: Path, device: torch.device, dtype: torch.dtype, progress: Progress = lambda *_: None
) -> Recognizer:
    """The recogniser in `directory`, assembled there first where it is missing or of another recipe. Raises:
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
    model.serve(device, dtype)
    tokenizer = sentence.open_tokenizer(directory / _TOKENIZER)

    def encode_texts(texts: list[str]) -> tuple[Tensor, list[bool]]:
        vectors, truncated = sentence.encode(model.encoder, tokenizer, texts)
        return vectors - model.centre, truncated  # [n, d]

    progress("lite is loaded", 1.0)
    return Recognizer(
        name="lite",
        image_tower=model.image,
        text_tower=encode_texts,
        profile=Profile.from_dict(card["profile"]),
        dim=sentence.WIDTH,
        logit_scale=float(card["logit_scale"]),
        digest=card["digest"],
        text_digest=card["text_digest"],
        device=device,
        dtype=dtype,
    )


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
