"""What is specific to the structure of published files: a separate fusion model, a common prefix, and a frame count.

It also refuses tensors that are not plain finite weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from models.weights.errors import WeightsUnavailable
from models.weights.states import StateDict, unwrap

_FUSION = "fusion_model_state_dict"
_FRAME_COUNTS = ("num_segments", "n_seg", "NUM_FRAMES")  # in T4V's configuration, of its VideoCLIP, in ViFi-CLIP's
_NESTED = ("config", "args", "data", "DATA")  # where a configuration may hold another one
_ROOT = re.compile(r"((?:.*?\.)?)visual\.")


def split_published(loaded: Any) -> tuple[StateDict, StateDict]:
    """The content of a file → the model's tensors, and those of a fusion model that was saved separately, if any.
    Raises: WeightsUnavailable."""
    fusion = loaded.get(_FUSION) if isinstance(loaded, dict) else None
    return _without_root(unwrap(loaded)), unwrap(fusion) if isinstance(fusion, dict) and fusion else {}


def check_size(tensors: Iterable[Tensor], size: int) -> None:
    """Refuse files that expand in memory: a tensor with stride 0 takes no room in the file.

    size: of the file, bytes. Raises: WeightsUnavailable.
    """
    claimed = {
        tensor.data_ptr(): tensor.numel() * tensor.element_size() for tensor in tensors
    }  # shared ones count once
    if (total := sum(claimed.values())) > size:
        raise WeightsUnavailable(
            f"The tensors would take {total} bytes, but the file has {size}, so they are not plain weights.",
            "Save them with tensor.contiguous().",
        )


def to_plain(name: str, tensor: Tensor) -> Tensor:
    """A copy in memory, fp32 unless it is an integer. Raises: WeightsUnavailable for values that are not finite."""
    if not tensor.is_floating_point():
        return tensor.clone()
    if not torch.isfinite(tensor).all():
        raise WeightsUnavailable(
            f"{name} holds values that are not finite.", "The training has diverged; use an earlier checkpoint."
        )
    return tensor.detach().to(torch.float32, copy=True).contiguous()


def saved_frames(loaded: Any) -> int | None:
    """T, if a configuration was saved with the weights, at most two levels deep."""
    configs: list[Any] = [loaded]
    for _ in range(3):
        configs = [config for config in configs if isinstance(config, Mapping)]
        for value in (config.get(key) for config in configs for key in _FRAME_COUNTS):
            if type(value) is int and value > 0:
                return value
        configs = [config[key] for config in configs for key in _NESTED if key in config]
    return None


def _without_root(state: StateDict) -> StateDict:
    """Without the prefix that all names share, which is what precedes `visual.`. Raises: WeightsUnavailable."""
    roots = {match[1] for name in state if (match := _ROOT.match(name))}
    if not roots:
        raise WeightsUnavailable(
            f"The file holds no image tower of a CLIP (visual.*); its names begin with {', '.join(sorted(state)[:3])}.",
            "A Text4Vis or an open_clip checkpoint is needed.",
        )
    if len(roots) > 1:
        towers = " and ".join(sorted(f"{root}visual.*" for root in roots))
        raise WeightsUnavailable(f"The file holds more than one image tower: {towers}.", "Keep only one of them.")
    root = roots.pop()
    bare = {name.removeprefix(root): tensor for name, tensor in state.items()}
    if len(bare) != len(state):
        raise WeightsUnavailable(f"The file holds some names with and without {root!r}.", "Keep only one of each.")
    return bare
