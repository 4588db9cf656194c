"""What an image tower's trunk computes, as a digest: towers with the same one give the same outputs, whatever their
necks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from models.image.tower import EXTENSION, ImageTower
from models.weights.digests import digest


def trunk_digest(tower: ImageTower) -> str:
    """sha256 of the types and options of all modules, and of all weights but those of neck and extension. Reads every
    weight once: a second per 500 MB to 1.5 GB."""
    neck = {name for name, _ in tower.projection_parameters()}
    found: list[str] = [type(tower).__name__]
    for name, module in tower.named_modules():
        if name and not name.startswith(EXTENSION.rstrip(".")):
            found += [name, type(module).__qualname__, *_options(module)]
    for name, tensor in tower.state_dict(keep_vars=True).items():
        if name not in neck and not name.startswith(EXTENSION):
            found += [name, str(tensor.dtype), str(tuple(tensor.shape)), _content(tensor)]
    return digest(*found)


def _options(module: nn.Module) -> Iterator[str]:
    """The plain attributes of a module, such as the pooling of a transformer, and the names of its functions."""
    for key, value in sorted(vars(module).items()):
        if key.startswith("_") or key == "training":
            continue
        if value is None or isinstance(value, str | int | float | tuple):
            yield f"{key}={value!r}"
        elif isinstance(value, Callable) and not isinstance(value, nn.Module):  # type: ignore[arg-type]
            yield f"{key}={getattr(value, '__qualname__', type(value).__qualname__)}"


def _content(tensor: Tensor) -> str:
    flat = tensor.detach().cpu().contiguous().flatten()
    return hashlib.sha256(flat.view(torch.uint8).numpy().data).hexdigest()
