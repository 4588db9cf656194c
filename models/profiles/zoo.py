"""The models that can be served by name. No torch here, so that listing them is cheap.

Mean, std, interpolation and resize mode are those of open_clip's pretrained configuration for each tag. The rest
follows the Text4Vis evaluation (8 frames, starts of segments, short side 256 for crops of 224: method §1, §3.1),
because published results of base CLIP use it. None of these models was trained with a temporal head, so all of them
pool by the mean: an untrained temporal transformer is not neutral (method §6).
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.profiles.profile import Profile

# Labels may be actions ("riding a bicycle") or things ("a cat"): "a video of a person {}." would suit only actions.
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
_PE = replace(_SIGLIP, name="pe", interpolation="bilinear")
_PE_336 = replace(_PE, name="pe-336", size=336, short_side=336)
_CLIP_256 = replace(_CLIP, name="clip-256", size=256, short_side=256)
_SIGLIP_256 = replace(_SIGLIP, name="siglip-256", size=256, short_side=256)
_MOBILE = replace(
    _CLIP,
    name="mobileclip",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    size=256,
    short_side=256,
    interpolation="bilinear",
)
# The preprocessing is the larger network's own (timm: 0.5 / 0.5, a crop of 260 from 292), because it was validated with
# no other. A sentence encoder reads a template as part of the meaning, so there is only one, and it is short.
_LITE = replace(_SIGLIP, name="lite", size=260, short_side=292, resize="short_side", templates=("a video of {}",))


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """One model. architecture, tag: open_clip's names; megabytes: size of the fp32 weights; licence: of the weights."""

    name: str
    architecture: str
    tag: str
    profile: Profile
    megabytes: int
    licence: str
    about: str
    config: dict[str, Any] | None = None  # of an architecture that open_clip does not list, in open_clip's format


ENTRIES = {
    entry.name: entry
    for entry in (
        ZooEntry("clip-rn50", "RN50-quickgelu", "openai", _CLIP, 408, "MIT", "OpenAI CLIP, ResNet-50"),
        ZooEntry("clip-b32", "ViT-B-32-quickgelu", "openai", _CLIP, 605, "MIT", "OpenAI CLIP, fast"),
        ZooEntry("clip-b16", "ViT-B-16-quickgelu", "openai", _CLIP, 599, "MIT", "OpenAI CLIP, the default"),
        ZooEntry("clip-l14", "ViT-L-14-quickgelu", "openai", _CLIP, 1710, "MIT", "OpenAI CLIP, accurate"),
        ZooEntry(
            "clip-l14-336", "ViT-L-14-336-quickgelu", "openai", _CLIP_336, 1712, "MIT", "OpenAI CLIP at 336 pixels"
        ),
        ZooEntry("laion-b16", "ViT-B-16", "laion2b_s34b_b88k", _CLIP, 599, "MIT", "OpenCLIP trained on LAION-2B"),
        ZooEntry(
            "clip-b32-256",
            "ViT-B-32-256",
            "datacomp_s34b_b86k",
            _CLIP_256,
            605,
            "MIT",
            "OpenCLIP trained on DataComp, fast, at 256 pixels",
        ),
        ZooEntry(
            "pe-b16",
            "PE-Core-B-16",
            "meta",
            _PE,
            1791,
            "Apache-2.0",
            "Perception Encoder, trained on images and videos, for up to 32 text tokens",
        ),
        ZooEntry(
            "pe-l14-336",
            "PE-Core-L-14-336",
            "meta",
            _PE_336,
            2685,
            "Apache-2.0",
            "Perception Encoder, accurate, at 336 pixels",
        ),
        ZooEntry(
            "dfn-b16",
            "ViT-B-16-quickgelu",
            "dfn2b",
            _CLIP,
            599,
            "Apple ML research",
            "CLIP on data from filtering networks",
        ),
        ZooEntry(
            "siglip-b16", "ViT-B-16-SigLIP", "webli", _SIGLIP, 813, "Apache-2.0", "SigLIP, for up to 64 text tokens"
        ),
        ZooEntry(
            "siglip2-b16",
            "ViT-B-16-SigLIP2",
            "webli",
            _SIGLIP,
            1501,
            "Apache-2.0",
            "SigLIP 2, many languages, for up to 64 text tokens",
        ),
        ZooEntry(
            "siglip2-b32",
            "ViT-B-32-SigLIP2-256",
            "webli",
            _SIGLIP_256,
            1507,
            "Apache-2.0",
            "SigLIP 2, fast, at 256 pixels",
        ),
        ZooEntry(
            "mobileclip-s1",
            "MobileCLIP-S1",
            "datacompdr",
            _MOBILE,
            340,
            "Apple ML research",
            "MobileCLIP, small and fast",
        ),
        ZooEntry(
            "mobileclip2-s2",
            "MobileCLIP2-S2",
            "dfndr2b",
            _MOBILE,
            397,
            "Apple ML research, for research only",
            "MobileCLIP 2, small",
        ),
        ZooEntry(
            "lite", "lite", "pip", _LITE, 140, "Apache-2.0", "the embedded model, from pip packages: weak, but offline"
        ),
    )
}


class BadCard(ValueError):
    """The card of a local checkpoint is invalid; the message says why."""


def model_names(data_dir: Path | None = None) -> list[str]:
    """The names of all models: the zoo's, and those of local checkpoints with a card in `<data_dir>/weights`."""
    return [*ENTRIES, *(card.stem for card in _cards(data_dir) if card.stem not in ENTRIES)]


def nearest_names(name: str, data_dir: Path | None = None) -> list[str]:
    """Up to three model names that are spelled like `name`, the most similar first."""
    return difflib.get_close_matches(name.lower(), model_names(data_dir), n=3, cutoff=0.3)


def find_entry(name: str, data_dir: Path | None = None) -> ZooEntry:
    """The entry of that name.

    A local checkpoint is `<name>.safetensors` (or .pt) beside its card `<name>.json`. The card names a similar model,
    `{"like": "clip-b16"}`. Its key `"profile"` holds the fields that differ, and `"architecture"` the configuration of
    a network that open_clip does not list. Raises: KeyError, BadCard.
    """
    if name in ENTRIES:
        return ENTRIES[name]
    for card in _cards(data_dir):
        if card.stem == name:
            return _read_card(card)
    raise KeyError(name)


def _cards(data_dir: Path | None) -> list[Path]:
    return sorted((data_dir / "weights").glob("*.json")) if data_dir else []


def _read_card(card: Path) -> ZooEntry:
    try:
        fields = json.loads(card.read_text(encoding="utf-8"))
        base = ENTRIES[fields["like"]]
        profile = Profile.from_dict(base.profile.to_dict() | {"name": card.stem} | fields.get("profile", {}))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadCard(f"{card.name} is not a valid model card: {error}") from error
    if base.tag == "pip":
        raise BadCard(f"{card.name} names lite under 'like', but lite has no weights file of its own.")
    return replace(
        base,
        name=card.stem,
        profile=profile,
        licence="yours",
        about=f"local weights, like {base.name}",
        config=fields.get("architecture"),
    )
