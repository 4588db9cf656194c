"""The temporal model in a published state dict, found by the ends of its names, under any prefix.

Text4Vis saves it inside its VideoCLIP; ActionCLIP and the contrastive baseline save it beside the model. Its
transformer has the names of CLIP's text tower. Its table of frame positions, or its wrapper, distinguishes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from core.vocabulary import TemporalKind
from models.weights.errors import WeightsUnavailable
from models.weights.states import StateDict

TABLE = "frame_position_embeddings.weight"
_BLOCK = re.compile(r"((?:.*\.)?)transformer\.resblocks\.(\d{1,4})\.")
_POINT = re.compile(r"visual\.transformer\.resblocks\.(\d{1,4})\.control_point\.")
_TOWERS = ("", "visual.", "text.")  # prefixes of CLIP's own transformers
_TEXT = ("token_embedding.weight", "text_projection", "ln_final.weight")


@dataclass(frozen=True, slots=True)
class Head:
    """state: `temporal.*` or `time_blocks.*`, with the values of the file."""

    kind: TemporalKind
    state: StateDict

    @property
    def layers(self) -> int:
        return len({name.split(".")[2] for name in self.state if name.startswith("temporal.blocks.")})

    @property
    def positions(self) -> int:
        table = self.state.get("temporal.positions.weight")
        return 0 if table is None or table.dim() != 2 else len(table)


def find_head(state: StateDict, separate: StateDict) -> tuple[Head, StateDict]:
    """separate: a fusion model that was saved by itself, or nothing. → the head, and the rest of `state`. Raises:
    WeightsUnavailable if there are several heads, or only parts of one."""
    _refuse_other_methods(state)
    points = {name: tensor for name, tensor in state.items() if _POINT.match(name)}
    fusion = _fusion(state, separate)
    taken = points.keys() | {name for name in state if any(_belongs(name, prefix) for prefix in _prefixes(state))}
    rest = {name: tensor for name, tensor in state.items() if name not in taken}
    if points and fusion:
        raise WeightsUnavailable(
            "The file holds a temporal transformer and convolutions over time; Vireo supports one of them.",
        )
    if points:
        return Head("token_conv", _convolutions(points, state)), rest
    return Head("transformer" if fusion else "mean", fusion), rest


def _refuse_other_methods(state: StateDict) -> None:
    """Detects, by their names, released temporal models that Vireo does not have. Raises: WeightsUnavailable."""
    if "visual.time_embedding" in state:
        what = "joint space-time attention (visual.time_embedding)"
    elif any(".net." in name for name in state if name.startswith("visual.")):
        what = "temporal shift modules (names with .net.)"
    else:
        return
    raise WeightsUnavailable(
        f"The image tower was trained with {what}, which Vireo does not have.",
        "Vireo has mean, transformer (T-Trans) and token_conv (TokenT1D).",
    )


def _fusion(state: StateDict, separate: StateDict) -> StateDict:
    """The temporal transformer, with our names; empty if there is none. Raises: WeightsUnavailable."""
    found = {prefix: _under(state, prefix) for prefix in _prefixes(state)}
    if "" in found and any(name in state for name in _TEXT):
        raise WeightsUnavailable(
            "The temporal transformer and the text tower have the same names (transformer.resblocks.*) in this file.",
            'Save the temporal model separately: {"model_state_dict": …, "fusion_model_state_dict": …}.',
        )
    if separate:
        found["fusion_model_state_dict: "] = _complete(separate)
    heads = list(found.values())
    if any(not _same(heads[0], other) for other in heads[1:]):
        raise WeightsUnavailable(
            f"The file holds {len(heads)} different temporal models: {', '.join(prefix + TABLE for prefix in found)}.",
            "Keep the one that belongs to the weights.",
        )
    return {_own_name(name): tensor for name, tensor in heads[0].items()} if heads else {}


def _prefixes(state: StateDict) -> list[str]:
    """The prefixes under which a temporal transformer has parts."""
    tables = {name.removesuffix(TABLE) for name in state if name == TABLE or name.endswith(f".{TABLE}")}
    blocks = {match[1] for name in state if (match := _BLOCK.match(name)) and match[1] not in _TOWERS}
    return sorted(tables | blocks)


def _belongs(name: str, prefix: str) -> bool:
    return name == prefix + TABLE or name.startswith(f"{prefix}transformer.resblocks.")


def _under(state: StateDict, prefix: str) -> StateDict:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if _belongs(name, prefix)}


def _complete(separate: StateDict) -> StateDict:
    """All of a fusion model that was saved by itself, without its prefix. Raises: WeightsUnavailable."""
    prefixes = _prefixes(separate) or [""]
    found = _under(separate, prefixes[0])
    unknown = sorted(name for name in separate if not _belongs(name, prefixes[0]))
    if len(prefixes) > 1 or unknown:
        raise WeightsUnavailable(f"The fusion model is not a transformer of Text4Vis: {', '.join(unknown[:3])}.")
    return found


def _same(one: StateDict, other: StateDict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _own_name(name: str) -> str:
    return f"temporal.{name.replace(TABLE, 'positions.weight').replace('transformer.resblocks.', 'blocks.')}"


def _convolutions(points: StateDict, state: StateDict) -> StateDict:
    """TokenT1D's convolutions with our names, one per block of the image tower. Raises: WeightsUnavailable."""
    blocks = {int(match[2]) for name in state if (match := _BLOCK.match(name)) and match[1] == "visual."}
    widths = {len(tensor) for name, tensor in state.items() if name == "visual.class_embedding"}
    found: StateDict = {}
    for name, tensor in points.items():
        if tensor.dim() != 3 or tensor.shape[1:] != (1, 3) or len(tensor) not in widths:
            raise WeightsUnavailable(
                f"{name} has the shape {list(tensor.shape)}; TokenT1D needs [w, 1, 3], with the tower's width w."
            )
        match = _POINT.match(name)
        assert match is not None
        found[f"time_blocks.{int(match[1])}.weight"] = tensor
    if len(found) != len(points) or len(found) != len(blocks):
        raise WeightsUnavailable(
            f"The file has {len(points)} of TokenT1D's convolutions for {len(blocks)} blocks; each block needs one."
        )
    return found
