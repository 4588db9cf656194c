"""Published checkpoints: what Text4Vis and its kin saved, under our names, checked tensor by tensor (method §0, §6).

    in the file                                              here
    {"model_state_dict": …}, {"state_dict": …}, or bare      without wrappers, `module.`, and one prefix before it all
    visual.*, logit_scale                                    the same
    transformer.*, token_embedding.weight, … (if there)      the same: the text tower
    <any prefix>frame_position_embeddings.weight [77, d]     temporal.positions.weight
    <any prefix>transformer.resblocks.{i}.*                  temporal.blocks.{i}.*
    {"fusion_model_state_dict": …}                           the same two, saved apart
    visual.transformer.resblocks.{i}.control_point.* [w,1,3] time_blocks.{i}.weight

Files are read without running code. What a file does not say is asked for or comes from the base; `note` tells of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from core.vocabulary import TemporalKind
from models.files import versions
from models.files.published import networks, shapes
from models.files.published.heads import Head, find_head
from models.files.published.networks import Network
from models.files.published.wrappers import check_size, frames_said, settled, unwrap
from models.profiles import zoo
from models.profiles.profile import Profile
from models.recognition.temporal import HEAD_WIDTH, TemporalTransformer
from models.text.encoders import ClipTexts
from models.weights import states
from models.weights.states import StateDict, WeightsUnavailable

TEMPLATE = "a video of a person {}."  # T4V modules/text_prompt.py, paper §B.2
TEST_SCALE = 100.0  # the constant of T4V's test scripts (method §7)
_FRAMES_NAMED = re.compile(r"[-_]f([1-9]\d?)(?=[-_.]|$)")  # as in the release's k400-vitb-16-f8.pt


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user said about the file; None is left to the file."""

    base: str | None = None  # a model of the zoo, or a local checkpoint
    temporal: TemporalKind | None = None
    frames: int | None = None


@dataclass(frozen=True, slots=True)
class Published:
    base: str
    architecture: str
    state: StateDict  # fp32, by the names of versions.py
    temporal: dict[str, Any]  # the card's
    text: Literal["own", "base"]
    profile: Profile
    dim: int
    note: str | None


def read(path: Path, filename: str, asked: Asked, data_dir: Path) -> Published:
    """`filename`: as its publisher called it; `data_dir`: where local checkpoints are. Raises: WeightsUnavailable."""
    loaded = states.load_safely(path, filename, mapped=True)
    main, apart = unwrap(loaded)
    check_size([*main.values(), *apart.values()], path.stat().st_size)
    head, rest = find_head(main, apart)
    network = networks.find(rest, asked.base, data_dir)
    notes = []
    if "logit_scale" not in rest:
        rest["logit_scale"] = torch.tensor(TEST_SCALE).log()
        notes.append(f"The file has no logit_scale; {TEST_SCALE:g} is taken, as in the released test script.")
    clip = networks.fit(rest, network)
    temporal = _describe(head, network, asked.temporal)
    frames, said = _frames(asked.frames or frames_said(loaded), filename, network.profile.frames)
    if head.kind == "transformer" and frames > head.positions:
        raise WeightsUnavailable(
            f"{frames} frames do not fit the temporal transformer, which has {head.positions} positions.",
            f"Ask for at most {head.positions}.",
        )
    text: Literal["own", "base"] = "own" if shapes.has_text(rest) else "base"
    notes += [said, _about(network, text, data_dir)]
    return Published(
        base=network.base,
        architecture=network.architecture,
        state={name: settled(name, tensor) for name, tensor in (clip | head.state).items()},
        temporal=temporal,
        text=text,
        profile=replace(
            network.profile, name="text4vis", templates=(TEMPLATE,), sampling="segment_start", frames=frames
        ),
        dim=network.dim,
        note=" ".join(filter(None, notes)) or None,
    )


def write(directory: Path, published: Published) -> dict[str, Any]:
    """A version's files, all but the card; → what the card must say of them. Raises: WeightsUnavailable."""
    digest = versions.write(directory, published.architecture, published.state)
    text_digest = ""  # the base's own affair: whoever serves takes it from the text tower that is there
    if published.text == "own":
        plain = {name: tensor for name, tensor in published.state.items() if not name.startswith(versions.ADDED)}
        model = states.build(published.architecture, plain, "The file")
        text_digest = ClipTexts(model, published.architecture).digest
    return {
        "base": published.base,
        "architecture": published.architecture,
        "temporal": published.temporal,
        "text": published.text,
        "profile": published.profile.to_dict(),
        "dim": published.dim,
        "logit_scale": float(published.state["logit_scale"].exp()),
        "digest": digest,
        "text_digest": text_digest,
        "note": published.note,
    }


def _describe(head: Head, network: Network, asked: TemporalKind | None) -> dict[str, Any]:
    """The card's `temporal`. Raises: WeightsUnavailable."""
    if asked not in (None, head.kind):
        raise WeightsUnavailable(
            f"The head {asked!r} was asked for, but by its tensors the file has the head {head.kind!r}.",
            "Leave the head to the file.",
        )
    if head.kind not in network.heads:
        raise WeightsUnavailable(f"{network.base} cannot have the temporal head {head.kind!r}.")
    said: dict[str, Any] = {"kind": head.kind, "text_width": network.text_width}
    if head.kind == "transformer":
        heads = max(1, network.text_width // HEAD_WIDTH)
        _check_transformer(head, network.dim, heads)
        said |= {"heads": heads, "layers": head.layers, "positions": head.positions}
    return said


def _check_transformer(head: Head, dim: int, heads: int) -> None:
    """Raises: WeightsUnavailable."""
    if dim % heads:
        raise WeightsUnavailable(f"{heads} heads do not divide the width of the temporal transformer, {dim}.")
    with torch.device("meta"):
        spec = TemporalTransformer(dim, heads, layers=head.layers, positions=head.positions).state_dict()
    if wrong := shapes.mismatch(head.state, {f"temporal.{name}": tensor for name, tensor in spec.items()}):
        raise WeightsUnavailable(
            f"The temporal model is no transformer of Text4Vis {dim} wide: {wrong}.",
            "temporal.positions is its frame_position_embeddings, temporal.blocks its transformer.resblocks.",
        )


def _frames(said: int | None, filename: str, usual: int) -> tuple[int, str]:
    """T, and what to tell of it."""
    if said:
        return said, ""
    if match := _FRAMES_NAMED.search(filename):
        return int(match[1]), f"The file's name says {match[1]} frames."
    return usual, f"The file does not say how many frames it was trained with; it is served with {usual}."


def _about(network: Network, text: Literal["own", "base"], data_dir: Path) -> str:
    """What to tell of the network, and of what serving needs besides the file."""
    if network.base == network.architecture:
        return f"No model of the zoo has its shapes: it is an architecture of its own, {network.architecture}."
    if text == "own":
        return ""
    entry = zoo.find(network.base, data_dir)
    needs = f"Its text tower is not in the file: labels are read with that of {network.base}"
    if states.find_local(network.base, data_dir) or states.find_cached(entry.architecture, entry.tag):
        return f"{needs}."
    return (
        f"{needs}, whose weights were not on this machine then. They are downloaded when first needed; without a "
        f"network, put them into the data directory as weights/{network.base}.safetensors (or .pt)."
    )
