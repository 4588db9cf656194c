"""Published checkpoints of Text4Vis, ViFi-CLIP and related projects, converted to our names and checked tensor by
tensor (method §0, §6, §12).

    in the file                                              here
    {"model_state_dict": …}, {"state_dict": …}, or bare      without wrappers, `module.`, and one common prefix
    visual.*, logit_scale                                    the same
    transformer.*, token_embedding.weight, … (optional)      the same: the text tower
    <any prefix>frame_position_embeddings.weight [77, d]     temporal.positions.weight
    <any prefix>transformer.resblocks.{i}.*                  temporal.blocks.{i}.*
    {"fusion_model_state_dict": …}                           the same two, saved separately
    image_encoder.*, text_encoder.*, prompt_learner.*        ViFi-CLIP and its prompts, see `vifi`
    visual.transformer.resblocks.{i}.control_point.* [w,1,3] time_blocks.{i}.weight

Files are read without running code. What a file does not state is asked for or taken from the base; `note` reports it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from core.vocabulary import MethodName, TemporalKind
from models.files.layout import ADDED, PROMPTS_OF_TEXT
from models.files.published import shapes, vifi
from models.files.published.heads import Head, find_head
from models.files.published.networks import Network, find_network, fit_to_network
from models.files.published.wrappers import check_size, saved_frames, split_published, to_plain
from models.files.saving import write_weights
from models.profiles import zoo
from models.profiles.profile import Profile
from models.recognition.temporal import HEAD_WIDTH, TemporalTransformer
from models.text.clip_encoder import ClipTextEncoder
from models.text.context_encoder import ContextTextEncoder
from models.text.encoder import TextEncoder
from models.weights.errors import WeightsUnavailable
from models.weights.hub import find_cached_weights
from models.weights.states import StateDict, build_model, find_local_weights, load_safely, unwrap

TEMPLATE = "a video of a person {}."  # T4V modules/text_prompt.py, paper §B.2
TEST_SCALE = 100.0  # the constant of T4V's test scripts (method §7)
_FRAMES_IN_NAME = re.compile(r"[-_]f([1-9]\d?)(?=[-_.]|$)")  # as in the release's k400-vitb-16-f8.pt


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the user specified about the file. What is None is derived from the file."""

    base: str | None = None  # a model of the zoo, or a local checkpoint
    temporal: TemporalKind | None = None
    frames: int | None = None


@dataclass(frozen=True, slots=True)
class PublishedCheckpoint:
    method: MethodName
    base: str
    architecture: str
    state: StateDict  # fp32, with the names of files/layout.py
    temporal: dict[str, Any]  # the card's
    text: Literal["own", "base"]
    profile: Profile
    dim: int
    note: str | None


def read_published(path: Path, filename: str, options: ImportOptions, data_dir: Path) -> PublishedCheckpoint:
    """filename: the publisher's name of the file; data_dir: where local checkpoints are. Raises: WeightsUnavailable."""
    loaded = load_safely(path, filename, mapped=True)
    is_vifi = vifi.is_vifi(unwrap(loaded))
    main, fusion = (vifi.to_clip_names(unwrap(loaded)), {}) if is_vifi else split_published(loaded)
    prompts = vifi.prompts_of(unwrap(loaded)) if is_vifi else {}
    check_size([*main.values(), *fusion.values(), *prompts.values()], path.stat().st_size)
    if is_vifi:
        main = vifi.with_token_embedding(main, options.base, data_dir)
        vifi.check_prompts(prompts, main)
    head, rest = find_head(main, fusion)
    network = find_network(rest, options.base, data_dir)
    notes = []
    if "logit_scale" not in rest:
        rest["logit_scale"] = torch.tensor(TEST_SCALE).log()
        notes.append(f"The file has no logit_scale, so {TEST_SCALE:g} is used, as in the released test script.")
    clip = fit_to_network(rest, network)
    temporal = _describe_head(head, network, options.temporal)
    usual = network.profile.frames
    if is_vifi:
        usual = vifi.PROMPTED_FRAMES if prompts else vifi.FRAMES
    frames, frames_note = _frames(options.frames or saved_frames(loaded), filename, usual)
    if head.kind == "transformer" and frames > head.positions:
        raise WeightsUnavailable(
            f"{frames} frames do not fit the temporal transformer, which has {head.positions} positions.",
            f"Use at most {head.positions} frames.",
        )
    text: Literal["own", "base"] = "own" if shapes.has_text(rest) else "base"
    notes += [frames_note, _network_note(network, text, data_dir)]
    profile = _profile(network.profile, frames)
    if is_vifi:
        profile = vifi.profile_of(network.profile, frames, prompted=bool(prompts))
    method: MethodName = "vl_prompt" if prompts else "vifi" if is_vifi else "text4vis"
    return PublishedCheckpoint(
        method=method,
        base=network.base,
        architecture=network.architecture,
        state={name: to_plain(name, tensor) for name, tensor in (clip | head.state | prompts).items()},
        temporal=temporal,
        text=text,
        profile=profile,
        dim=network.dim,
        note=" ".join(filter(None, notes)) or None,
    )


def write_published(directory: Path, published: PublishedCheckpoint) -> dict[str, Any]:
    """Write all files of a version except the card. → what the card must say about them. Raises: WeightsUnavailable."""
    digest = write_weights(directory, published.architecture, published.state)
    text_digest = ""  # with the base's text tower, the machine that serves the version computes it
    if published.text == "own":
        plain = {name: tensor for name, tensor in published.state.items() if not name.startswith(ADDED)}
        model = build_model(published.architecture, plain, "The file")
        encoder: TextEncoder = ClipTextEncoder(model, published.architecture)
        if PROMPTS_OF_TEXT in published.state:
            encoder = ContextTextEncoder(encoder, published.state[PROMPTS_OF_TEXT])
        text_digest = encoder.digest
    return {
        "method": published.method,
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


def _profile(profile: Profile, frames: int) -> Profile:
    """How Text4Vis is validated (method §1, §3.1)."""
    return replace(profile, name="text4vis", templates=(TEMPLATE,), sampling="segment_start", frames=frames)


def _describe_head(head: Head, network: Network, requested: TemporalKind | None) -> dict[str, Any]:
    """The card's `temporal`. Raises: WeightsUnavailable."""
    if requested not in (None, head.kind):
        raise WeightsUnavailable(
            f"The head {requested!r} was requested, but by its tensors the file has the head {head.kind!r}.",
            "Do not name a head; the file decides it.",
        )
    if head.kind not in network.heads:
        raise WeightsUnavailable(f"{network.base} cannot have the temporal head {head.kind!r}.")
    described: dict[str, Any] = {"kind": head.kind, "text_width": network.text_width}
    if head.kind == "transformer":
        heads = max(1, network.text_width // HEAD_WIDTH)
        _check_transformer(head, network.dim, heads)
        described |= {"heads": heads, "layers": head.layers, "positions": head.positions}
    return described


def _check_transformer(head: Head, dim: int, heads: int) -> None:
    """Raises: WeightsUnavailable."""
    if dim % heads:
        raise WeightsUnavailable(f"{heads} heads do not divide the width of the temporal transformer, {dim}.")
    with torch.device("meta"):
        spec = TemporalTransformer(dim, heads, layers=head.layers, positions=head.positions).state_dict()
    if wrong := shapes.mismatch(head.state, {f"temporal.{name}": tensor for name, tensor in spec.items()}):
        raise WeightsUnavailable(
            f"The temporal model is not a transformer of Text4Vis with width {dim}: {wrong}.",
            "temporal.positions is its frame_position_embeddings, temporal.blocks its transformer.resblocks.",
        )


def _frames(specified: int | None, filename: str, default: int) -> tuple[int, str]:
    """T, and a note on where it comes from."""
    if specified:
        return specified, ""
    if match := _FRAMES_IN_NAME.search(filename):
        return int(match[1]), f"The file's name says {match[1]} frames."
    return default, f"The file does not say how many frames it was trained with; it is served with {default}."


def _network_note(network: Network, text: Literal["own", "base"], data_dir: Path) -> str:
    """A note on the network, and on what serving needs besides the file."""
    if network.base == network.architecture:
        return f"No model of the zoo has its shapes: it is an architecture of its own, {network.architecture}."
    if text == "own":
        return ""
    entry = zoo.find_entry(network.base, data_dir)
    needs = f"Its text tower is not in the file: labels are read with that of {network.base}"
    if find_local_weights(network.base, data_dir) or find_cached_weights(entry.architecture, entry.tag):
        return f"{needs}."
    return (
        f"{needs}, whose weights were not on this machine then. They are downloaded when first needed; without a "
        f"network, put them into the data directory as weights/{network.base}.safetensors (or .pt)."
    )
