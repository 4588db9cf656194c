"""What stands around the tensors of a published file: dictionaries, prefixes, and tricks to be refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from models.weights.states import NOT_WEIGHTS, StateDict, WeightsUnavailable

_WRAPPERS = ("model_state_dict", "state_dict", "model")
_FUSION = "fusion_model_state_dict"
_FRAMES = ("num_segments", "n_seg")  # in T4V's configuration, and of its VideoCLIP
_ROOT = re.compile(r"((?:.*?\.)?)visual\.")


def unwrap(loaded: Any) -> tuple[StateDict, StateDict]:
    """What a file held → the model's tensors, and those of a temporal model that was saved apart. Raises:
    WeightsUnavailable."""
    apart = loaded.get(_FUSION) if isinstance(loaded, dict) else None
    main = loaded
    while isinstance(main, dict) and (inner := _first_dict(main)) is not None:
        main = inner
    state = _tensors(main)
    if not state:
        raise WeightsUnavailable("The file holds no tensors.", "A state dict is needed: names and their tensors.")
    return _without_root(state), _tensors(apart)


def check_size(tensors: Iterable[Tensor], size: int) -> None:
    """`size`: of the file, bytes. A tensor without strides costs nothing there, and everything in memory. Raises:
    WeightsUnavailable."""
    promised = {tensor.data_ptr(): tensor.numel() * tensor.element_size() for tensor in tensors}  # copies count once
    if (total := sum(promised.values())) > size:
        raise WeightsUnavailable(
            f"The tensors would take {total} bytes, and the file has {size}: they are no plain weights.",
            "Save them with tensor.contiguous().",
        )


def settled(name: str, tensor: Tensor) -> Tensor:
    """In memory of its own, fp32 unless it counts something. Raises: WeightsUnavailable for what is no number."""
    if not tensor.is_floating_point():
        return tensor.clone()
    if not torch.isfinite(tensor).all():
        raise WeightsUnavailable(
            f"{name} holds values that are no finite numbers.", "The training has diverged; take an earlier checkpoint."
        )
    return tensor.detach().to(torch.float32, copy=True).contiguous()


def frames_said(loaded: Any) -> int | None:
    """T, where a configuration was saved with the weights, at most two levels down."""
    places: list[Any] = [loaded]
    for _ in range(3):
        places = [place for place in places if isinstance(place, Mapping)]
        for value in (place.get(key) for place in places for key in _FRAMES):
            if type(value) is int and value > 0:
                return value
        places = [place[key] for place in places for key in ("config", "args", "data") if key in place]
    return None


def _first_dict(entries: dict[Any, Any]) -> dict[Any, Any] | None:
    return next((entries[key] for key in _WRAPPERS if isinstance(entries.get(key), dict)), None)


def _tensors(entries: Any) -> StateDict:
    """By name, without `module.`, wherever DistributedDataParallel has put it. Raises: WeightsUnavailable."""
    found: StateDict = {}
    for key, value in entries.items() if isinstance(entries, dict) else ():
        name = ".".join(part for part in str(key).split(".") if part != "module")
        if not isinstance(value, Tensor) or name in NOT_WEIGHTS:
            continue
        if name in found:
            raise WeightsUnavailable(f"{name} is in the file twice, with and without 'module.'.", "Leave one of them.")
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized or value.is_complex():
            raise WeightsUnavailable(f"{name} is sparse, quantized, complex or empty; a CLIP's weights are none of it.")
        found[name] = value
    return found


def _without_root(state: StateDict) -> StateDict:
    """Without the one prefix that stands before `visual.`, and so before the rest. Raises: WeightsUnavailable."""
    roots = {match[1] for name in state if (match := _ROOT.match(name))}
    if not roots:
        raise WeightsUnavailable(
            f"The file holds no image tower of CLIP's (visual.*); it begins with {', '.join(sorted(state)[:3])}.",
            "A Text4Vis or an open_clip checkpoint is needed.",
        )
    if len(roots) > 1:
        towers = " and ".join(sorted(f"{root}visual.*" for root in roots))
        raise WeightsUnavailable(
            f"The file holds more than one image tower: {towers}.", "Leave one of them in the file."
        )
    root = roots.pop()
    bare = {name.removeprefix(root): tensor for name, tensor in state.items()}
    if len(bare) != len(state):
        raise WeightsUnavailable(f"Some names are in the file with and without {root!r}.", "Leave one of them.")
    return bare
