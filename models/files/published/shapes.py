"""What a CLIP is, by the shapes of its tensors: size of the image tower and of the text tower, and whose they are."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import open_clip

from models.profiles import zoo
from models.weights.states import StateDict, WeightsUnavailable

_TEXT = ("transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection", "text.")
HEAD_WIDTH = 64  # of every CLIP by OpenAI, in both towers
_STRIDE = 32  # of a ResNet's last stage


@dataclass(frozen=True, slots=True)
class Vision:
    """An image tower with the names of OpenAI's CLIP. layers: blocks of a ViT, or of a ResNet's four stages."""

    image_size: int
    layers: int | tuple[int, ...]
    width: int
    patch_size: int | None  # None: a ResNet
    dim: int  # d

    def __str__(self) -> str:
        kind = f"ResNet of {'-'.join(map(str, self.stages))} blocks"
        if self.patch_size is not None:
            kind = f"ViT of {self.layers} blocks with patches of {self.patch_size}"
        return f"{kind}, width {self.width}, {self.image_size} pixels, d = {self.dim}"

    @property
    def stages(self) -> tuple[int, ...]:
        return self.layers if isinstance(self.layers, tuple) else (self.layers,)

    def config(self) -> dict[str, Any]:
        """open_clip's `vision_cfg`."""
        layers = list(self.stages) if self.patch_size is None else self.layers
        return {"image_size": self.image_size, "layers": layers, "width": self.width, "patch_size": self.patch_size}


def has_text(state: StateDict) -> bool:
    """Whether a text tower, or a part of one, is there; temporal models must be out of the way."""
    return any(name.startswith(_TEXT) for name in state)


def vision_of(state: StateDict) -> Vision:
    """`state`: with names `visual.*`. Raises: WeightsUnavailable where they are no image tower of CLIP's."""
    if "visual.attnpool.positional_embedding" in state:
        rows, _ = _shape(state, "visual.attnpool.positional_embedding", 2)
        dim, _ = _shape(state, "visual.attnpool.c_proj.weight", 2)
        width = _shape(state, "visual.layer1.0.conv1.weight", 4)[0]
        stages = tuple(_count(state, rf"visual\.layer{stage}\.([0-9]+)\.") for stage in (1, 2, 3, 4))
        return Vision(_STRIDE * _side(rows), stages, width, None, dim)
    rows, width = _shape(state, "visual.positional_embedding", 2)
    patch = _shape(state, "visual.conv1.weight", 4)[-1]
    _, dim = _shape(state, "visual.proj", 2)
    return Vision(patch * _side(rows), _count(state, r"visual\.transformer\.resblocks\.([0-9]+)\."), width, patch, dim)


def text_config(state: StateDict) -> dict[str, Any]:
    """open_clip's `text_cfg`. Raises: WeightsUnavailable where parts of the text tower are missing."""
    context, width = _shape(state, "positional_embedding", 2)
    return {
        "context_length": context,
        "vocab_size": _shape(state, "token_embedding.weight", 2)[0],
        "width": width,
        "heads": max(1, width // HEAD_WIDTH),
        "layers": _count(state, r"transformer\.resblocks\.([0-9]+)\."),
    }


def whose(vision: Vision, text: dict[str, Any] | None) -> zoo.Entry | None:
    """OpenAI's model of these shapes. `text`: None where the text tower is not in the file."""
    for entry in _openai():
        config = open_clip.get_model_config(entry.architecture)
        if _looks(config) == vision and text in (None, config["text_cfg"]):
            return entry
    return None


def custom(vision: Vision, text: dict[str, Any]) -> dict[str, Any]:
    """open_clip's configuration of a network by these shapes, with OpenAI's activation and heads. Raises:
    WeightsUnavailable where its heads cannot be told."""
    for what, width in (("image", vision.width), ("text", text["width"])):
        if width % HEAD_WIDTH and (vision.patch_size is not None or what == "text"):
            raise WeightsUnavailable(
                f"The {what} tower is {width} wide; CLIP's attention heads are {HEAD_WIDTH} wide, so it is no CLIP's.",
                "Name a base of this architecture.",
            )
    return {"embed_dim": vision.dim, "quick_gelu": True, "vision_cfg": vision.config(), "text_cfg": text}


def nearest(vision: Vision) -> list[str]:
    """Up to three of OpenAI's models, the likest first."""

    def differences(entry: zoo.Entry) -> tuple[bool, int]:
        other = _looks(open_clip.get_model_config(entry.architecture))
        another_kind = (vision.patch_size is None) != (other.patch_size is None)
        return another_kind, sum(getattr(vision, field) != getattr(other, field) for field in Vision.__slots__)

    return [entry.name for entry in sorted(_openai(), key=differences)[:3]]


def mismatch(state: StateDict, wanted: StateDict) -> str | None:
    """What is wrong with `state`, in words; `wanted` has the names and the shapes."""
    missing, unknown = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    said = [
        f"{len(names)} {what} ({', '.join(names[:3])})"
        for what, names in (("names are missing", missing), ("are unknown", unknown))
        if names
    ]
    if said:
        return ", ".join(said)
    for name, tensor in state.items():
        if tensor.shape != wanted[name].shape:
            return f"{name} has the shape {list(tensor.shape)} and not {list(wanted[name].shape)}"
    return None


def _openai() -> Iterable[zoo.Entry]:
    return (entry for entry in zoo.ENTRIES.values() if entry.tag == "openai")


def _looks(config: dict[str, Any]) -> Vision:
    vision = config["vision_cfg"]
    layers = tuple(vision["layers"]) if isinstance(vision["layers"], list) else vision["layers"]
    return Vision(vision["image_size"], layers, vision["width"], vision["patch_size"], config["embed_dim"])


def _shape(state: StateDict, name: str, dimensions: int) -> tuple[int, ...]:
    """Raises: WeightsUnavailable."""
    if name not in state:
        raise WeightsUnavailable(
            f"The file has no {name}, so it holds no CLIP's tower whole.",
            "A CLIP with a ViT or a ModifiedResNet is needed; name a base if it is another one.",
        )
    shape = tuple(state[name].shape)
    if len(shape) != dimensions or not all(shape):
        raise WeightsUnavailable(f"{name} has the shape {list(shape)}, which is no CLIP's.")
    return shape


def _side(rows: int) -> int:
    """Of the square grid whose places, and one more, have a position each. Raises: WeightsUnavailable."""
    side = math.isqrt(max(rows - 1, 0))
    if side == 0 or side**2 + 1 != rows:
        raise WeightsUnavailable(
            f"{rows} positions are no square grid and a [class] token, so this is no CLIP's tower."
        )
    return side


def _count(state: StateDict, pattern: str) -> int:
    """Of numbered blocks. Raises: WeightsUnavailable where a number is left out."""
    numbers = {match[1] for name in state if (match := re.match(pattern, name))}
    if numbers != {str(number) for number in range(len(numbers))} or not numbers:
        readable = pattern.replace("\\", "").replace("([0-9]+)", "N")
        raise WeightsUnavailable(f"The blocks {readable}* of the file are not numbered from 0 on without a gap.")
    return len(numbers)
