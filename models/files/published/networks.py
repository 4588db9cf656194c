"""The network of a published file: the base that was named, the model of the zoo with the same shapes, or an
architecture of its own. Every tensor must then fit it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor

from core.vocabulary import TemporalKind
from models.files.architectures import register_architecture
from models.files.published import shapes
from models.image.time_blocks import supported_heads
from models.profiles import zoo
from models.profiles.profile import Profile
from models.text.clip_encoder import NOT_TEXT, text_width
from models.weights.errors import WeightsUnavailable
from models.weights.states import StateDict


@dataclass(frozen=True, slots=True)
class Network:
    base: str  # a name of the zoo, or the architecture's name if no model of the zoo has its shapes
    architecture: str  # open_clip's name
    profile: Profile
    heads: tuple[TemporalKind, ...]
    dim: int  # d
    text_width: int
    spec: StateDict  # names and shapes, without values


def find_network(state: StateDict, base: str | None, data_dir: Path) -> Network:
    """base: the requested one, if any; data_dir: where local checkpoints are. Raises: WeightsUnavailable."""
    if base is not None:
        return _named(base, data_dir)
    vision = shapes.vision_of(state)
    text = shapes.text_config(state) if shapes.has_text(state) else None
    if entry := shapes.matching_entry(vision, text):
        return _network(entry.name, entry.architecture, entry)
    if text is None:
        raise WeightsUnavailable(
            f"No model of the zoo has this image tower ({vision}), and its text tower is not in the file.",
            f"The most similar: {', '.join(shapes.most_similar(vision))}. If it belongs to a local checkpoint, "
            "name that as base.",
        )
    return _own_network(vision, text)


def fit_to_network(state: StateDict, network: Network) -> StateDict:
    """Exactly the network's tensors; without a text tower in `state`, exactly those of the image tower and the scale.
    Raises: WeightsUnavailable."""
    has_text = shapes.has_text(state)
    expected = {
        name: tensor
        for name, tensor in network.spec.items()
        if has_text or name.startswith("visual.") or name == "logit_scale" or (name in NOT_TEXT and name in state)
    }
    counters = {
        name: torch.zeros(tensor.shape, dtype=tensor.dtype) for name, tensor in expected.items() if _is_counter(tensor)
    }
    state = counters | state  # the counters of batch norms have no effect, and some files omit them
    if state["logit_scale"].numel() == 1:
        state["logit_scale"] = state["logit_scale"].reshape(())  # []
    if wrong := shapes.mismatch(state, expected):
        raise WeightsUnavailable(
            f"The file does not fit {network.base} ({network.architecture}): {wrong}.", _advice(state)
        )
    return state


def _named(base: str, data_dir: Path) -> Network:
    """Raises: WeightsUnavailable."""
    try:
        entry = zoo.find_entry(base, data_dir)
        architecture = entry.architecture if entry.config is None else register_architecture(entry.config)
    except KeyError:
        raise WeightsUnavailable(
            f"{base!r} cannot be the base: it is neither a model of the zoo nor a local checkpoint.",
            f"Use for example {', '.join(zoo.nearest_names(base, data_dir)) or 'clip-b16'}.",
        ) from None
    except ValueError as error:
        raise WeightsUnavailable(f"{base!r} cannot be the base: {error}.") from error
    if entry.tag == "pip":
        raise WeightsUnavailable(
            "lite is not a CLIP, so it cannot be the base of a checkpoint.", "Use for example clip-b16."
        )
    return _network(base, architecture, entry)


def _own_network(vision: shapes.VisionShape, text: dict[str, Any]) -> Network:
    """A network of shapes that no model of the zoo has. Everything else is as in OpenAI's. Raises:
    WeightsUnavailable."""
    config = shapes.own_config(vision, text)
    size = vision.image_size
    like = zoo.ENTRIES["clip-b16"]
    # T4V resizes to 256 for crops of 224; for other sizes it leaves no margin (method §3.1).
    profile = replace(like.profile, size=size, short_side=256 if size == 224 else size)
    architecture = register_architecture(config)
    return _network(architecture, architecture, replace(like, config=config, profile=profile))


def _network(base: str, architecture: str, entry: zoo.ZooEntry) -> Network:
    with torch.device("meta"):
        skeleton: Any = open_clip.create_model(architecture, pretrained=None, load_weights=False, device="meta")
    config = open_clip.get_model_config(architecture) or {}
    return Network(
        base=base,
        architecture=architecture,
        profile=entry.profile,
        heads=supported_heads(entry),
        dim=int(config["embed_dim"]),
        text_width=text_width(skeleton),
        spec=skeleton.state_dict(),
    )


def _is_counter(tensor: Tensor) -> bool:
    return not tensor.is_floating_point()


def _advice(state: StateDict) -> str:
    try:
        vision = shapes.vision_of(state)
    except WeightsUnavailable:
        return "Check that file and base belong together."
    return f"By its shapes, the image tower is a {vision}. The most similar: {', '.join(shapes.most_similar(vision))}."
