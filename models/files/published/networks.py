"""Which network a published file is of: the base that was named, the one of the zoo with its shapes, or one of its own.
Then every tensor must fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor

from core.vocabulary import TemporalKind
from models.files import architectures
from models.files.published import shapes
from models.image.time_blocks import heads_of
from models.profiles import zoo
from models.profiles.profile import Profile
from models.text.encoders import NOT_TEXT, text_width
from models.weights.states import StateDict, WeightsUnavailable


@dataclass(frozen=True, slots=True)
class Network:
    base: str  # a name of the zoo; the architecture's, where none is like it
    architecture: str  # open_clip's name
    profile: Profile
    heads: tuple[TemporalKind, ...]
    dim: int  # d
    text_width: int
    spec: StateDict  # names and shapes, without numbers


def find(state: StateDict, base: str | None, data_dir: Path) -> Network:
    """`base`: if it was asked for; `data_dir`: where local checkpoints are. Raises: WeightsUnavailable."""
    if base is not None:
        return _named(base, data_dir)
    vision = shapes.vision_of(state)
    text = shapes.text_config(state) if shapes.has_text(state) else None
    if entry := shapes.whose(vision, text):
        return _network(entry.name, entry.architecture, entry)
    if text is None:
        raise WeightsUnavailable(
            f"No model of the zoo is like this one ({vision}), and its text tower is not in the file.",
            f"The nearest: {', '.join(shapes.nearest(vision))}. If it belongs to a local checkpoint, name it as base.",
        )
    return _own(vision, text)


def fit(state: StateDict, network: Network) -> StateDict:
    """All of the network's tensors, or all of its image tower's and the scale where no text tower is there; and
    nothing else. Raises: WeightsUnavailable."""
    own = shapes.has_text(state)
    wanted = {
        name: tensor
        for name, tensor in network.spec.items()
        if own or name.startswith("visual.") or name == "logit_scale" or (name in NOT_TEXT and name in state)
    }
    counters = {
        name: torch.zeros(tensor.shape, dtype=tensor.dtype) for name, tensor in wanted.items() if _counts(tensor)
    }
    state = counters | state  # of batch norms: they change nothing, and some leave them out
    if state["logit_scale"].numel() == 1:
        state["logit_scale"] = state["logit_scale"].reshape(())  # []
    if wrong := shapes.mismatch(state, wanted):
        raise WeightsUnavailable(
            f"The file does not fit {network.base} ({network.architecture}): {wrong}.", _advice(state)
        )
    return state


def _named(base: str, data_dir: Path) -> Network:
    """Raises: WeightsUnavailable."""
    try:
        entry = zoo.find(base, data_dir)
        architecture = entry.architecture if entry.config is None else architectures.register(entry.config)
    except KeyError:
        raise WeightsUnavailable(
            f"{base!r} cannot be the base: it is no model that needs no training.",
            f"For example {', '.join(zoo.nearest(base, data_dir)) or 'clip-b16'}.",
        ) from None
    except ValueError as error:
        raise WeightsUnavailable(f"{base!r} cannot be the base: {error}.") from error
    if entry.tag == "pip":
        raise WeightsUnavailable("lite is no CLIP, so it cannot be the base of a checkpoint.", "For example clip-b16.")
    return _network(base, architecture, entry)


def _own(vision: shapes.Vision, text: dict[str, Any]) -> Network:
    """Of shapes that are nobody's; OpenAI's in all but size. Raises: WeightsUnavailable."""
    config = shapes.custom(vision, text)
    size = vision.image_size
    like = zoo.ENTRIES["clip-b16"]
    # T4V resizes to 256 for crops of 224, and leaves no margin otherwise (method §3.1).
    profile = replace(like.profile, size=size, short_side=256 if size == 224 else size)
    architecture = architectures.register(config)
    return _network(architecture, architecture, replace(like, config=config, profile=profile))


def _network(base: str, architecture: str, entry: zoo.Entry) -> Network:
    with torch.device("meta"):
        skeleton: Any = open_clip.create_model(architecture, pretrained=None, load_weights=False, device="meta")
    config = open_clip.get_model_config(architecture) or {}
    return Network(
        base=base,
        architecture=architecture,
        profile=entry.profile,
        heads=heads_of(entry),
        dim=int(config["embed_dim"]),
        text_width=text_width(skeleton),
        spec=skeleton.state_dict(),
    )


def _counts(tensor: Tensor) -> bool:
    return not tensor.is_floating_point()


def _advice(state: StateDict) -> str:
    try:
        vision = shapes.vision_of(state)
    except WeightsUnavailable:
        return "Check that file and base belong together."
    return f"By its shapes its image tower is a {vision}. The nearest: {', '.join(shapes.nearest(vision))}."
