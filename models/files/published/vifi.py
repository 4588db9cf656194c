"""ViFi-CLIP's published files: both towers, under names of their own (method §12).

    in the file                                      here
    image_encoder.*                                  visual.*
    text_encoder.*                                   the same without this prefix
    logit_scale                                      the same
    prompt_learner.complete_text_embeddings, …       left out: class names of the training, already embedded

ViFi-CLIP does not train the token embedding (method §16 #12) and does not save it; the base's weights have it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from models.files.published import shapes
from models.profiles import zoo
from models.profiles.profile import Profile
from models.weights.errors import WeightsUnavailable
from models.weights.hub import find_cached_weights
from models.weights.states import StateDict, find_local_weights, read_state

FRAMES = 16  # of its fully supervised Kinetics models; its other runs use 32 (method §8)
TEMPLATE = "a photo of a {}."  # of every tuned model (method §4, §16 #13)
_IMAGE, _TEXT, _PROMPTS = "image_encoder.", "text_encoder.", "prompt_learner."
_WORDS = "token_embedding.weight"
_CLASS_NAMES = tuple(f"{_PROMPTS}{name}" for name in ("complete_text_embeddings", "token_prefix", "token_suffix"))


def is_vifi(state: StateDict) -> bool:
    """state: of a file, without wrappers."""
    return any(name.startswith(_IMAGE) for name in state)


def to_clip_names(state: StateDict) -> StateDict:
    """With the names of OpenAI's CLIP. The token embedding is missing. Raises: WeightsUnavailable for a file with
    learned prompts, and for names that are not ViFi-CLIP's."""
    if prompts := sorted(name for name in state if name == f"{_PROMPTS}ctx" or "VPT" in name):
        raise WeightsUnavailable(
            f"The file holds learned prompts ({', '.join(prompts[:3])}), which cannot be imported yet.",
            "Import a ViFi-CLIP file whose towers are tuned in full.",
        )
    found: StateDict = {}
    for name, tensor in state.items():
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


def profile_of(profile: Profile, frames: int) -> Profile:
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
        templates=(TEMPLATE,),
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
