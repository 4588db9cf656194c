"""Opening a fine-tuned version, as `layout` describes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from core.vocabulary import Fusion, TemporalKind
from models.files.architectures import CONFIG, register_architecture
from models.files.bases import open_base
from models.files.layout import ADDED, CARD, PROMPTS_OF_IMAGE, PROMPTS_OF_TEXT, TEXT, TOKENIZER, WEIGHTS
from models.image.time_blocks import attach_time_blocks
from models.image.tower import EXTENSION, TIME_BLOCKS, Extension, ImageTower
from models.image.towers import clip_tower
from models.lite.network import LiteModel, LiteTower, lite_text_encoder
from models.profiles.profile import Profile
from models.recognition.base import Base, Bridge
from models.recognition.temporal import TemporalHead, TemporalTransformer, mean_head
from models.text.anchored_encoder import AnchoredTextEncoder
from models.text.clip_encoder import NOT_TEXT, ClipTextEncoder
from models.text.context_encoder import ContextTextEncoder, without_context
from models.text.encoder import TextEncoder
from models.text.external_encoder import ExternalTextEncoder
from models.text.sentence_encoder import SentenceTextEncoder
from models.weights.errors import WeightsUnavailable
from models.weights.progress import LoadProgress
from models.weights.states import StateDict, build_model

FindBase = Callable[[str], Base]
"""Opens the model or version of that name."""


def open_version(directory: Path, *, data_dir: Path, progress: LoadProgress, find_base: FindBase | None = None) -> Base:
    """The version in `directory`, in fp32 on the CPU. data_dir: where the base model's weights are, in case its text
    tower is needed; find_base: for a version of prompts; default: models of the zoo. Raises: WeightsUnavailable."""
    try:
        card: dict[str, Any] = json.loads((directory / CARD).read_text(encoding="utf-8"))
        name = f"{card['name']}:{card['version']}"
        progress(f"loading {name}", 0.0)
        state = load_file(directory / WEIGHTS)
        if card.get("prompts"):
            find = find_base or (lambda base: open_base(base, data_dir=data_dir, progress=progress))
            base = _with_prompts(name, card, state, find)
        else:
            base = _rebuild(directory, name, card, state, data_dir, progress)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise WeightsUnavailable(f"The version in {directory.name} cannot be read ({reason}).") from error
    progress(f"{name} is loaded", 1.0)
    return base


def _with_prompts(name: str, card: Mapping[str, Any], state: StateDict, find_base: FindBase) -> Base:
    """The base that the card names, with the prompts in both of its towers. Raises: WeightsUnavailable."""
    wanted = card["prompts"]
    bridge = Bridge(str(wanted["base"]), str(wanted["digest"]), str(wanted["text_digest"]))
    base = find_base(bridge.name)
    if (base.digest, base.text_encoder.digest) != (bridge.digest, bridge.text_digest):
        raise WeightsUnavailable(
            f"{name} consists of prompts for {bridge.name}, whose weights are others here.",
            f"Give this worker the weights of {bridge.name} that the version was trained with.",
        )
    base.tower.add_prompts(state[PROMPTS_OF_IMAGE])
    return replace(
        base,
        name=name,
        text_encoder=ContextTextEncoder(without_context(base.text_encoder), state[PROMPTS_OF_TEXT]),
        profile=Profile.from_dict(card["profile"]),
        digest=str(card["digest"]),
        classes=tuple(card["classes"]),
        open_labels=True,
        fixed_rows=None,
        prompts_for=bridge,
    )


def _rebuild(
    directory: Path, name: str, card: Mapping[str, Any], state: StateDict, data_dir: Path, progress: LoadProgress
) -> Base:
    architecture, kind = str(card["architecture"]), cast("TemporalKind", card["temporal"]["kind"])
    if (directory / CONFIG).exists():
        register_architecture(json.loads((directory / CONFIG).read_text(encoding="utf-8")))
    profile = Profile.from_dict(card["profile"])
    open_towers = _open_lite if architecture == "lite" else _open_clip
    tower, own_encoder = open_towers(directory, card, _without_added(state))
    encoder: TextEncoder = own_encoder or _other_encoder(directory, card, data_dir, progress)
    if "context" in state:
        encoder = ContextTextEncoder(encoder, state["context"])
        encoder.digest = str(
            card["text_digest"]
        )  # the encoder inside was given this one, so a derived one would differ
    if PROMPTS_OF_TEXT in state:
        encoder = ContextTextEncoder(encoder, state[PROMPTS_OF_TEXT])
        encoder.digest = str(card["text_digest"])
    if PROMPTS_OF_IMAGE in state:
        tower.add_prompts(state[PROMPTS_OF_IMAGE])
    if kind != "mean":
        attach_time_blocks(tower, kind, "identity")
    tower.time_blocks.load_state_dict(_under(TIME_BLOCKS, state))
    if added := _under(EXTENSION, state):
        rooted = added.get("rooted", torch.tensor(False))
        extension = Extension(*added["weight"].shape, rooted=bool(rooted))
        extension.load_state_dict(added | {"rooted": rooted})
        tower.extend(extension)
        encoder = AnchoredTextEncoder(encoder, state["anchors.vectors"], state["anchors.classes"], profile.templates)
        encoder.digest = str(card["text_digest"])
    temporal = _build_head(card["temporal"], tower.dim, profile.fusion)
    temporal.load_state_dict(_under("temporal.", state))
    open_labels = bool(card["open_labels"])
    return Base(
        name=name,
        architecture=architecture,
        tower=tower,
        temporal=temporal,
        temporal_kind=kind,
        text_encoder=encoder,
        profile=profile,
        dim=tower.dim,
        logit_scale=float(state["logit_scale"].exp()),
        text_width=int(card["temporal"]["text_width"]),
        digest=str(card["digest"]),
        classes=tuple(card["classes"]),
        open_labels=open_labels,
        fixed_rows=None if open_labels else state["classifier.rows"],
    )


def _open_clip(directory: Path, card: Mapping[str, Any], state: StateDict) -> tuple[ImageTower, ClipTextEncoder | None]:
    """The image tower, and the text encoder if the file has its weights. Raises: WeightsUnavailable."""
    architecture = str(card["architecture"])
    has_text = any(not name.startswith("visual.") and name not in NOT_TEXT for name in state)
    model: Any = build_model(architecture, state, directory.name, only="" if has_text else "visual.")
    tower = clip_tower(model.visual, int(card["dim"]))
    return tower, ClipTextEncoder(model, architecture, str(card["text_digest"])) if has_text else None


def _open_lite(
    directory: Path, card: Mapping[str, Any], state: StateDict
) -> tuple[ImageTower, SentenceTextEncoder | None]:
    """The image tower, and the text encoder if the file has its weights. Raises: KeyError, RuntimeError."""
    model = LiteModel()
    has_text = "centre" in state
    names = [name for name in model.state_dict() if has_text or name.startswith(("eyes.", "targets"))]
    model.load_state_dict({name: state[name] for name in names}, strict=has_text)
    tower, digest = LiteTower(model), str(card["text_digest"])
    return tower, lite_text_encoder(model, directory / TEXT / TOKENIZER, digest) if has_text else None


def _other_encoder(directory: Path, card: Mapping[str, Any], data_dir: Path, progress: LoadProgress) -> TextEncoder:
    """The text encoder of a version whose file has no text tower. Raises: WeightsUnavailable."""
    if card["text"] == "base":
        return _base_encoder(card, data_dir, progress)
    return ExternalTextEncoder.load(directory / TEXT)


def _base_encoder(card: Mapping[str, Any], data_dir: Path, progress: LoadProgress) -> TextEncoder:
    """The base model's text encoder. Its digest is computed from the weights that this machine has now, so that rows of
    other weights are never used. Raises: WeightsUnavailable."""
    base, version = str(card["base"]), f"{card['name']}:{card['version']}"
    needs = f"{version} reads labels with the text tower of {base}, which is not in its file."
    try:
        encoder = open_base(base, data_dir=data_dir, progress=progress).text_encoder
    except KeyError:
        hint = f"Put its weights and its card back into the data directory: weights/{base}.safetensors and {base}.json."
        raise WeightsUnavailable(f"{needs} There is no model {base} here.", hint) from None
    except WeightsUnavailable as error:
        hint = f"{error.hint or ''} Name the file weights/{base}.safetensors (or .pt).".strip()
        raise WeightsUnavailable(f"{needs} {error.message}", hint) from error
    if encoder.dim != int(card["dim"]):
        raise WeightsUnavailable(f"{needs} Its text vectors have {encoder.dim} dimensions, not {card['dim']}.")
    return encoder


def _build_head(described: Mapping[str, Any], dim: int, fusion: Fusion) -> TemporalHead:
    """The temporal head that the card describes, without its weights."""
    if described["kind"] != "transformer":
        return mean_head(fusion)
    layers, positions = int(described["layers"]), int(described["positions"])
    return TemporalTransformer(dim, int(described["heads"]), layers=layers, positions=positions)


def _without_added(state: StateDict) -> StateDict:
    return {name: tensor for name, tensor in state.items() if not name.startswith(ADDED)}


def _under(prefix: str, state: StateDict) -> StateDict:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
