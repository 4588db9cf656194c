"""The sizes of a CLIP's image and text tower, derived from the shapes of its tensors, and the model of the zoo that has
them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import open_clip

from models.profiles import zoo
from models.recognition.temporal import HEAD_WIDTH
from models.weights.errors import WeightsUnavailable
from models.weights.states import StateDict

_TEXT = ("transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection", "text.")
_STRIDE = 32  # of a ResNet's last stage


@dataclass(frozen=True, slots=True)
class VisionShape:
    """The sizes of an image tower with the names of OpenAI's CLIP. layers: number of blocks of a ViT, or of each of a
    ResNet's four stages."""

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
    """Whether `state` holds a text tower or a part of one. Temporal models must be removed before."""
    return any(name.startswith(_TEXT) for name in state)


def vision_of(state: StateDict) -> VisionShape:
    """state: with names `visual.*`. Raises: WeightsUnavailable if these are not an image tower of a CLIP."""
    if "visual.attnpool.positional_embedding" in state:
        rows, _ = _shape(state, "visual.attnpool.positional_embedding", 2)
        dim, _ = _shape(state, "visual.attnpool.c_proj.weight", 2)
        width = _shape(state, "visual.layer1.0.conv1.weight", 4)[0]
        stages = tuple(_count(state, rf"visual\.layer{stage}\.([0-9]+)\.") for stage in (1, 2, 3, 4))
        return VisionShape(_STRIDE * _side(rows), stages, width, None, dim)
    rows, width = _shape(state, "visual.positional_embedding", 2)
    patch = _shape(state, "visual.conv1.weight", 4)[-1]
    _, dim = _shape(state, "visual.proj", 2)
    return VisionShape(
        patch * _side(rows), _count(state, r"visual\.transformer\.resblocks\.([0-9]+)\."), width, patch, dim
    )


def text_config(state: StateDict) -> dict[str, Any]:
    """open_clip's `text_cfg`. Raises: WeightsUnavailable if parts of the text tower are missing."""
    context, width = _shape(state, "positional_embedding", 2)
    return {
        "context_length": context,
        "vocab_size": _shape(state, "token_embedding.weight", 2)[0],
        "width": width,
        "heads": max(1, width // HEAD_WIDTH),
        "layers": _count(state, r"transformer\.resblocks\.([0-9]+)\."),
    }


def matching_entry(vision: VisionShape, text: dict[str, Any] | None) -> zoo.ZooEntry | None:
    """OpenAI's model with these shapes. text: None if the text tower is not in the file."""
    for entry in _openai():
        config = open_clip.get_model_config(entry.architecture)
        if _vision_of_config(config) == vision and text in (None, config["text_cfg"]):
            return entry
    return None


def own_config(vision: VisionShape, text: dict[str, Any]) -> dict[str, Any]:
    """open_clip's configuration of a network with these shapes and OpenAI's activation and attention heads. Raises:
    WeightsUnavailable if the number of heads cannot be derived."""
    for what, width in (("image", vision.width), ("text", text["width"])):
        if width % HEAD_WIDTH and (vision.patch_size is not None or what == "text"):
            raise WeightsUnavailable(
                f"The {what} tower has width {width}, which is not a multiple of {HEAD_WIDTH}, as CLIP's heads need.",
                "Name a base of this architecture.",
            )
    return {"embed_dim": vision.dim, "quick_gelu": True, "vision_cfg": vision.config(), "text_cfg": text}


def most_similar(vision: VisionShape) -> list[str]:
    """Three of OpenAI's models, the most similar first."""

    def differences(entry: zoo.ZooEntry) -> tuple[bool, int]:
        other = _vision_of_config(open_clip.get_model_config(entry.architecture))
        another_kind = (vision.patch_size is None) != (other.patch_size is None)
        return another_kind, sum(getattr(vision, field) != getattr(other, field) for field in VisionShape.__slots__)

    return [entry.name for entry in sorted(_openai(), key=differences)[:3]]


def mismatch(state: StateDict, expected: StateDict) -> str | None:
    """How the names and shapes of `state` differ from the expected ones, in words; None if they agree."""
    missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    differences = [
        f"{len(names)} {what} ({', '.join(names[:3])})"
        for what, names in (("names are missing", missing), ("are unknown", unknown))
        if names
    ]
    if differences:
        return ", ".join(differences)
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            return f"{name} has the shape {list(tensor.shape)} instead of {list(expected[name].shape)}"
    return None


def _openai() -> Iterable[zoo.ZooEntry]:
    return (entry for entry in zoo.ENTRIES.values() if entry.tag == "openai")


def _vision_of_config(config: dict[str, Any]) -> VisionShape:
    vision = config["vision_cfg"]
    layers = tuple(vision["layers"]) if isinstance(vision["layers"], list) else vision["layers"]
    return VisionShape(vision["image_size"], layers, vision["width"], vision["patch_size"], config["embed_dim"])


def _shape(state: StateDict, name: str, dimensions: int) -> tuple[int, ...]:
    """Raises: WeightsUnavailable."""
    if name not in state:
        raise WeightsUnavailable(
            f"The file has no {name}, so it holds no complete tower of a CLIP.",
            "A CLIP with a ViT or a ModifiedResNet is needed; for another one, name its base.",
        )
    shape = tuple(state[name].shape)
    if len(shape) != dimensions or not all(shape):
        raise WeightsUnavailable(f"{name} has the shape {list(shape)}, which no CLIP has.")
    return shape


def _side(rows: int) -> int:
    """Side of the square grid of patches. rows: one position for each patch and one for the [class] token. Raises:
    WeightsUnavailable."""
    side = math.isqrt(max(rows - 1, 0))
    if side == 0 or side**2 + 1 != rows:
        raise WeightsUnavailable(
            f"{rows} positions are not a square grid and a [class] token, so this is not a tower of a CLIP."
        )
    return side


def _count(state: StateDict, pattern: str) -> int:
    """The number of numbered blocks. Raises: WeightsUnavailable if a number is missing."""
    numbers = {match[1] for name in state if (match := re.match(pattern, name))}
    if numbers != {str(number) for number in range(len(numbers))} or not numbers:
        readable = pattern.replace("\\", "").replace("([0-9]+)", "N")
        raise WeightsUnavailable(f"The blocks {readable}* of the file are not numbered from 0 without gaps.")
    return len(numbers)
