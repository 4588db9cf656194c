"""ViFi-CLIP's published files: both towers, under names of their own (method §12).

    in the file                                      here
    image_encoder.*                                  visual.*
    text_encoder.*                                   the same without this prefix
    logit_scale                                      the same
    prompt_learner.complete_text_embeddings, …       left out: class names of the training, already embedded
    prompt_learner.ctx [n, w]                        prompts.text[0]: after the start token, before the class name
    text_encoder.…resblocks.{i}.VPT_shallow [n, w]   prompts.text[i], from i = 1 on: they replace those before
    image_encoder.VPT [n, w]                         prompts.image[0]: after the patches
    image_encoder.…resblocks.{i}.VPT_shallow [n, w]  prompts.image[i]

The towers of a file with prompts are the bridge on which they were learned, so one version holds both. ViFi-CLIP does
not train the token embedding (method §16 #12) and does not save it; the base's weights have it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from models.files.published import shapes
from models.profiles import zoo
from models.profiles.profile import Profile
from models.weights.errors import WeightsUnavailable
from models.weights.hub import find_cached_weights
from models.weights.states import StateDict, find_local_weights, read_state

FRAMES = 16  # of its fully supervised Kinetics models; its other runs use 32 (method §8)
PROMPTED_FRAMES = 32  # of all runs with prompts (method §12)
TEMPLATE = "a photo of a {}."  # of every tuned model (method §4, §16 #13)
PROMPTED_TEMPLATE = "{}."  # learned vectors stand before the class name, and a full stop after it
MOST_WORDS = 4
"""With up to so many vectors, the code starts them from the words of CTX_INIT, and the rest of its words, which no file
tells, stays between the vectors and the class name."""
_IMAGE, _TEXT, _PROMPTS = "image_encoder.", "text_encoder.", "prompt_learner."
_WORDS = "token_embedding.weight"
_FIRST_OF_TEXT, _FIRST_OF_IMAGE = f"{_PROMPTS}ctx", f"{_IMAGE}VPT"
_DEEP = re.compile(rf"({re.escape(_IMAGE)}|{re.escape(_TEXT)})transformer\.resblocks\.([1-9]\d?)\.VPT_shallow")
_CLASS_NAMES = tuple(f"{_PROMPTS}{name}" for name in ("complete_text_embeddings", "token_prefix", "token_suffix"))


def is_vifi(state: StateDict) -> bool:
    """state: of a file, without wrappers."""
    return any(name.startswith(_IMAGE) for name in state)


def prompts_of(state: StateDict) -> StateDict:
    """`prompts.text` [D, n, w], and `prompts.image` if the image tower has any; empty for a file without prompts.
    Raises: WeightsUnavailable for prompts that are incomplete, or whose place is uncertain."""
    deep = {name: match for name in state if (match := _DEEP.fullmatch(name))}
    places: dict[str, dict[int, str]] = {_TEXT: {}, _IMAGE: {}}
    for name, match in deep.items():
        places[match[1]][int(match[2])] = name
    for name, tower in ((_FIRST_OF_TEXT, _TEXT), (_FIRST_OF_IMAGE, _IMAGE)):
        if name in state:
            places[tower][0] = name
    if other := sorted(name for name in state if "VPT" in name and name not in {*deep, _FIRST_OF_IMAGE}):
        raise WeightsUnavailable(f"{other[0]} looks like a prompt, but ViFi-CLIP has none of this name.")
    found = {
        f"prompts.{kind}": _stacked(state, tower, places[tower])
        for kind, tower in (("text", _TEXT), ("image", _IMAGE))
        if places[tower]
    }
    if found and "prompts.text" not in found:
        raise WeightsUnavailable(f"The file has prompts of the image tower, but not {_FIRST_OF_TEXT}.")
    if found and (count := found["prompts.text"].shape[1]) <= MOST_WORDS:
        raise WeightsUnavailable(
            f"{_FIRST_OF_TEXT} has {count} vectors. With up to {MOST_WORDS}, words of the initial prompt may stand "
            "between them and the class name, and the file does not say which.",
            "Files with more vectors can be imported; the released ones have 10 or 16.",
        )
    return found


def _stacked(state: StateDict, tower: str, places: dict[int, str]) -> Tensor:
    """[D, n, w]. Raises: WeightsUnavailable."""
    if sorted(places) != list(range(len(places))):
        raise WeightsUnavailable(
            f"The prompts of {tower}* are not those of the first {len(places)} blocks: they stand before the blocks "
            f"{', '.join(map(str, sorted(places)))} (counted from 0)."
        )
    tensors = [state[places[place]] for place in range(len(places))]
    if len({tuple(tensor.shape) for tensor in tensors}) > 1 or tensors[0].ndim != 2:
        shapes_found = ", ".join(f"{places[place]} {tuple(state[places[place]].shape)}" for place in range(len(places)))
        raise WeightsUnavailable(f"Prompts of one tower have one shape [n, w], but the file has {shapes_found[:200]}.")
    return torch.stack([tensor.float() for tensor in tensors])


def to_clip_names(state: StateDict) -> StateDict:
    """With the names of OpenAI's CLIP, without prompts. The token embedding is missing. Raises: WeightsUnavailable for
    names that are not ViFi-CLIP's."""
    found: StateDict = {}
    for name, tensor in state.items():
        if name == _FIRST_OF_TEXT or "VPT" in name:
            continue  # `prompts_of` reads them
        if name.startswith(_IMAGE):
            found[f"visual.{name.removeprefix(_IMAGE)}"] = tensor
        elif name.startswith(_TEXT):
            found[name.removeprefix(_TEXT)] = tensor
        elif name == "logit_scale":
            found[name] = tensor
        elif not name.startswith(_CLASS_NAMES):
            raise WeightsUnavailable(
                f"{name} is not a name of ViFi-CLIP, although {_IMAGE}* is in the file.",
                "A ViFi-CLIP file holds image_encoder.*, text_encoder.*, logit_scale and prompt_learner.*.",
            )
    return found


def with_token_embedding(state: StateDict, base: str | None, data_dir: Path) -> StateDict:
    """state: with CLIP's names; base: the requested one, else the model of the zoo with the same image tower. Raises:
    WeightsUnavailable if the base's weights are not on this machine."""
    if _WORDS in state:
        return state
    entry = _entry(state, base, data_dir)
    file = find_local_weights(entry.name, data_dir) or find_cached_weights(entry.architecture, entry.tag)
    if file is None:
        raise WeightsUnavailable(
            f"ViFi-CLIP files have no token embedding, and the weights of {entry.name}, which have it, are not on this "
            "machine.",
            f"Put them into the data directory as weights/{entry.name}.safetensors (or .pt), and import again.",
        )
    words = read_state(file).get(_WORDS)
    if words is None:
        raise WeightsUnavailable(f"{file.name} has no {_WORDS}, so it is not a CLIP.")
    return state | {_WORDS: words}


def check_prompts(prompts: StateDict, state: StateDict) -> None:
    """state: of both towers, with CLIP's names. Raises: WeightsUnavailable for prompts that do not fit the towers."""
    for kind, norm, blocks in (
        ("image", "visual.ln_post.weight", "visual.transformer.resblocks."),
        ("text", "ln_final.weight", "transformer.resblocks."),
    ):
        learned = prompts.get(f"prompts.{kind}")
        if learned is None:
            continue
        if norm not in state:
            raise WeightsUnavailable(f"The {kind} tower has no {norm}: it is no transformer that can have prompts.")
        layers = len({name.removeprefix(blocks).split(".")[0] for name in state if name.startswith(blocks)})
        depth, count, width = learned.shape
        if width != len(state[norm]) or depth > layers or count > len(state["positional_embedding"]) - 3:
            raise WeightsUnavailable(
                f"The prompts of the {kind} tower, {depth} × {count} vectors of width {width}, do not fit it: it has "
                f"{layers} blocks of width {len(state[norm])}."
            )


def profile_of(profile: Profile, frames: int, *, prompted: bool = False) -> Profile:
    """How ViFi-CLIP is validated (method §3.2, §9): ImageNet's statistics (§16 #14), the middles of segments,
    probabilities averaged over views."""
    return replace(
        profile,
        name="vifi-clip",
        mean=(123.675 / 255, 116.28 / 255, 103.53 / 255),
        std=(58.395 / 255, 57.12 / 255, 57.375 / 255),
        interpolation="bilinear",
        three_crop="vfc",
        sampling="segment_center",
        aggregate="probabilities",
        templates=(PROMPTED_TEMPLATE if prompted else TEMPLATE,),
        frames=frames,
    )


def _entry(state: StateDict, base: str | None, data_dir: Path) -> zoo.ZooEntry:
    """Raises: WeightsUnavailable."""
    if base is not None:
        try:
            return zoo.find_entry(base, data_dir)
        except (KeyError, zoo.BadCard):
            raise WeightsUnavailable(
                f"{base!r} cannot be the base: it is neither a model of the zoo nor a local checkpoint.",
                f"Use for example {', '.join(zoo.nearest_names(base, data_dir)) or 'clip-b16'}.",
            ) from None
    vision = shapes.vision_of(state)
    if entry := shapes.matching_entry(vision, None):
        return entry
    raise WeightsUnavailable(
        f"No model of the zoo has this image tower ({vision}), and the file has no token embedding.",
        f"Name its base. The most similar: {', '.join(shapes.most_similar(vision))}.",
    )
