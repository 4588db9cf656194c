"""The models that can be served by name. No torch here: a listing must cost nothing.

Mean, std, interpolation and resize mode are those of open_clip's pretrained configuration for each tag. The rest is the
Text4Vis evaluation (8 frames, starts of segments, short side 256 for crops of 224: method §1, §3.1), because that is
what base CLIP is compared by; none of these models was trained on video, so all pool by the mean (an untrained temporal
transformer is not neutral, method §6).
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.profiles.profile import Profile

# Labels may be actions ("riding a bicycle") or things ("a cat"): "a video of a person {}." would suit only the first.
TEMPLATES = ("a video of {}.", "a photo of {}.")

_CLIP = Profile(
    name="clip",
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    size=224,
    short_side=256,
    templates=TEMPLATES,
)
_CLIP_336 = replace(_CLIP, name="clip-336", size=336, short_side=336)
_SIGLIP = replace(_CLIP, name="siglip", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), resize="squash")
_MOBILE = replace(
    _CLIP,
    name="mobileclip",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    size=256,
    short_side=256,
    interpolation="bilinear",
)
# The larger network's own preprocessing (timm: 0.5 / 0.5, a crop of 260 from 292), because it was validated with that
# and nothing else. A sentence encoder reads a template as part of the meaning: there is one, of few words.
_LITE = replace(_SIGLIP, name="lite", size=260, short_side=292, resize="short_side", templates=("a video of {}",))


@dataclass(frozen=True, slots=True)
class Entry:
    """`architecture` and `tag` are open_clip's; `megabytes`: the fp32 weights; `licence`: of the weights."""

    name: str
    architecture: str
    tag: str
    profile: Profile
    megabytes: int
    licence: str
    about: str
    config: dict[str, Any] | None = None  # open_clip's configuration, of an architecture that it does not list


ENTRIES = {
    entry.name: entry
    for entry in (
        Entry("clip-rn50", "RN50-quickgelu", "openai", _CLIP, 408, "MIT", "OpenAI CLIP, ResNet-50"),
        Entry("clip-b32", "ViT-B-32-quickgelu", "openai", _CLIP, 605, "MIT", "OpenAI CLIP, fast"),
        Entry("clip-b16", "ViT-B-16-quickgelu", "openai", _CLIP, 599, "MIT", "OpenAI CLIP, the default"),
        Entry("clip-l14", "ViT-L-14-quickgelu", "openai", _CLIP, 1710, "MIT", "OpenAI CLIP, accurate"),
        Entry("clip-l14-336", "ViT-L-14-336-quickgelu", "openai", _CLIP_336, 1712, "MIT", "OpenAI CLIP at 336 pixels"),
        Entry("laion-b16", "ViT-B-16", "laion2b_s34b_b88k", _CLIP, 599, "MIT", "OpenCLIP trained on LAION-2B"),
        Entry("dfn-b16", "ViT-B-16-quickgelu", "dfn2b", _CLIP, 599, "Apple ML research", "data filtering networks"),
        Entry("siglip-b16", "ViT-B-16-SigLIP", "webli", _SIGLIP, 813, "Apache-2.0", "sigmoid loss, 64 text tokens"),
        Entry("mobileclip-s1", "MobileCLIP-S1", "datacompdr", _MOBILE, 340, "Apple ML research", "small and fast"),
        Entry("lite", "lite", "pip", _LITE, 140, "Apache-2.0", "offline, from pip packages; weak, but real"),
    )
}


class BadCard(ValueError):
    """The card of a local checkpoint cannot be understood; the message says why."""


def names(data_dir: Path | None = None) -> list[str]:
    """All models by name, those with a card of their own in `<data_dir>/weights` included."""
    return [*ENTRIES, *(card.stem for card in _cards(data_dir) if card.stem not in ENTRIES)]


def nearest(name: str, data_dir: Path | None = None) -> list[str]:
    """Up to three names that look like it."""
    return difflib.get_close_matches(name.lower(), names(data_dir), n=3, cutoff=0.3)


def find(name: str, data_dir: Path | None = None) -> Entry:
    """The entry of that name. A local checkpoint is `<name>.safetensors` (or .pt) beside `<name>.json`, its card:
    `{"like": "clip-b16"}`, under `"profile"` whatever of its profile differs, and under `"architecture"` open_clip's
    configuration of a network that it does not list. Raises: KeyError, BadCard."""
    if name in ENTRIES:
        return ENTRIES[name]
    for card in _cards(data_dir):
        if card.stem == name:
            return _read_card(card)
    raise KeyError(name)


def _cards(data_dir: Path | None) -> list[Path]:
    return sorted((data_dir / "weights").glob("*.json")) if data_dir else []


def _read_card(card: Path) -> Entry:
    try:
        said = json.loads(card.read_text(encoding="utf-8"))
        base = ENTRIES[said["like"]]
        profile = Profile.from_dict(base.profile.to_dict() | {"name": card.stem} | said.get("profile", {}))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadCard(f"{card.name} is no card of a model: {error}") from error
    if base.tag == "pip":
        raise BadCard(f"{card.name} is like lite, which has no weights file of its own.")
    return replace(
        base,
        name=card.stem,
        profile=profile,
        licence="yours",
        about=f"local weights, like {base.name}",
        config=said.get("architecture"),
    )
