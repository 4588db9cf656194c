"""Assembling `lite`, a weak but real recogniser that needs no download: its weights come with pip packages (design §6).

Image tower: EfficientNet-Lite1 and -Lite2 with their ImageNet classifiers. Text tower: all-MiniLM-L6-v2. They are
aligned once, in closed form (alignment.py), and written into a directory with model.safetensors and card.json. After
that, loading takes seconds. The digests cover the packages' weights and RECIPE, and not the computed alignment, because
the last bits of linear algebra differ between machines.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from models.lite import alignment, backbones
from models.lite.network import LiteModel
from models.profiles.zoo import ENTRIES
from models.text import minilm
from models.weights.digests import digest
from models.weights.errors import WeightsUnavailable
from models.weights.progress import LoadProgress
from models.weights.states import StateDict, weights_digest

WEIGHTS, CARD, TOKENIZER = "model.safetensors", "card.json", "tokenizer.json"

RECIPE = 1  # raise it whenever the same packages would give other vectors

# exp(s), found without data: the ridge fit leaves out each ImageNet class in turn, and the class's classifier row must
# then pick its own name among 5, 20 or 100. The likelihood is highest at 15, 16 and 16 (and the right name is picked
# for 79, 62 and 35 %).
LOGIT_SCALE = 16.0


def load_lite(directory: Path, progress: LoadProgress = lambda *_: None) -> tuple[LiteModel, dict[str, Any]]:
    """The modules in `directory`, and their card. They are assembled first if they are missing, damaged or of another
    recipe. Raises: WeightsUnavailable."""
    if not _is_current(directory):
        assemble(directory, progress)
    progress("loading lite", 0.0)
    try:
        model = read_lite(directory)
    except (SafetensorError, OSError, RuntimeError):  # damaged, or of an older layout: the packages can replace it
        _move_away(directory)
        assemble(directory, progress)
        model = read_lite(directory)
    card: dict[str, Any] = json.loads((directory / CARD).read_text(encoding="utf-8"))
    progress("lite is loaded", 1.0)
    return model, card


def read_lite(directory: Path) -> LiteModel:
    """The assembled modules, in float32. Raises: SafetensorError, OSError, RuntimeError."""
    model = LiteModel()
    model.load_state_dict(load_file(directory / WEIGHTS))
    return model


def assemble(directory: Path, progress: LoadProgress = lambda *_: None) -> None:
    """Build `lite` from the installed packages. `directory` appears complete or not at all, and several processes may
    assemble it at the same time. Raises: WeightsUnavailable if a package is missing."""
    progress("assembling lite: reading the packages", 0.0)
    images = {name: backbones.read_backbone_package(name) for name in backbones.NAMES}
    texts = minilm.read_minilm_package()
    progress("assembling lite: embedding ImageNet's class names", 0.2)
    model = _align(images, texts)
    progress("assembling lite: writing the files", 0.8)
    directory.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, scratch / WEIGHTS)
        shutil.copyfile(minilm.package_folder() / TOKENIZER, scratch / TOKENIZER)
        (scratch / CARD).write_text(json.dumps(_card(images, texts), indent=1) + "\n", encoding="utf-8")
        _publish(scratch, directory)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    progress("lite is assembled", 1.0)


@torch.inference_mode()
def _align(images: dict[str, StateDict], texts: StateDict) -> LiteModel:
    model = LiteModel().eval()
    model.encoder.load_state_dict(minilm.to_minilm_state(texts))
    tokenizer = minilm.open_minilm_tokenizer(minilm.package_folder() / TOKENIZER)
    names, _ = minilm.encode_sentences(model.encoder, tokenizer, alignment.class_names())  # E [C, d]
    model.centre.copy_(names.mean(dim=0))
    model.targets.copy_(names - model.centre)
    for (name, state), eye in zip(images.items(), model.eyes, strict=True):
        eye.backbone.load_state_dict(backbones.to_backbone_state(name, state))
        eye.projection.copy_(alignment.ridge(eye.backbone.classifier.weight, model.targets))
    return model


def _card(images: dict[str, StateDict], texts: StateDict) -> dict[str, Any]:
    """The content of card.json. It is a pure function of the packages, so it is the same on every machine."""
    profile = ENTRIES["lite"].profile
    sources = {name: weights_digest(state) for name, state in images.items()}
    sources["all-MiniLM-L6-v2"] = weights_digest(texts)
    tokenizer = (minilm.package_folder() / TOKENIZER).read_bytes()
    return {
        "name": "lite",
        "recipe": RECIPE,
        "profile": profile.to_dict(),
        "dim": minilm.WIDTH,
        "logit_scale": LOGIT_SCALE,
        "temporal": "mean",
        "sources": sources,
        "digest": digest("lite", RECIPE, *(part for item in sources.items() for part in item)),
        "text_digest": digest("lite-text", RECIPE, sources["all-MiniLM-L6-v2"], tokenizer, minilm.CONTEXT_LENGTH),
    }


def _is_current(directory: Path) -> bool:
    try:
        card = json.loads((directory / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(card.get("recipe") == RECIPE and card.get("profile") == ENTRIES["lite"].profile.to_dict())


def _publish(scratch: Path, directory: Path) -> None:
    """Rename the finished directory. If another process was faster, its copy is kept. An outdated copy is moved out of
    the way. Raises: WeightsUnavailable."""
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
    except FileNotFoundError:  # another process has just done it
        return
    shutil.rmtree(outdated, ignore_errors=True)
