"""State dicts: read from files without running code, built into models, and identified by a digest of their content.

A file is safetensors, or a state dict that torch loads with `weights_only=True`.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import load_file
from torch.overrides import TorchFunctionMode

from models.weights.errors import WeightsUnavailable

StateDict = dict[str, torch.Tensor]

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
WRAPPERS = ("model_state_dict", "state_dict", "model")  # keys under which checkpoints hold the model's state dict
NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size", "attn_mask")  # entries of published files
CONFIGURATION = "yacs.config.CfgNode"  # ViFi-CLIP saves one: a dictionary. It is read as such, without yacs.
_REFUSED_GLOBAL = re.compile(r"GLOBAL (\S+)")  # in torch's refusal: the class or function that a pickle names


def weights_digest(state: StateDict) -> str:
    """sha256 over names, dtypes, shapes and bytes, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)  # [bytes]
    return digest.hexdigest()


def read_state(path: Path) -> StateDict:
    """The state dict in a file, without wrappers and `module.` prefixes. Raises: WeightsUnavailable."""
    if not path.is_file():
        raise WeightsUnavailable(f"There is no weights file {path.name}.", "Check VIREO_WEIGHTS.")
    return unwrap(load_safely(path, path.name))


def load_safely(path: Path, source: str, *, mapped: bool = False) -> Any:
    """The tensors and plain data in a file. Its first bytes decide whether it is read as safetensors or as a pickle;
    a pickle runs no code.

    source: the file's name in messages; mapped: leave the tensors on disk until they are used (the file must not
    change until then). Raises: WeightsUnavailable.
    """
    try:
        return load_file(path) if _is_safetensors(path) else _load_pickle(path, mapped)
    except Exception as error:  # the readers raise many types of exception for damaged files
        raise WeightsUnavailable(
            f"{source} is not a state dict that can be loaded safely.",
            "Save it as safetensors, or with torch.save(model.state_dict(), …). TorchScript archives and pickled "
            f"objects are refused because loading them runs code. ({_reason(error)})",
        ) from error


def unwrap(loaded: Any) -> StateDict:
    """The tensors in what `load_safely` returned, without wrappers, without `module.` (which DistributedDataParallel
    may insert anywhere in a name) and without NOT_WEIGHTS.

    Raises: WeightsUnavailable if there are no tensors, if a name occurs twice, or for a tensor that is not a plain one
    in memory.
    """
    while isinstance(loaded, dict) and (inner := _wrapped(loaded)) is not None:
        loaded = inner
    state: StateDict = {}
    for key, value in loaded.items() if isinstance(loaded, dict) else ():
        name = ".".join(part for part in str(key).split(".") if part != "module")
        if not isinstance(value, torch.Tensor) or name in NOT_WEIGHTS:
            continue
        if name in state:
            raise WeightsUnavailable(
                f"The file holds {name} twice, with and without 'module.'.", "Remove one of the two."
            )
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized or value.is_complex():
            raise WeightsUnavailable(
                f"{name} is sparse, quantized, complex or has no values.", "Save plain dense tensors."
            )
        state[name] = value
    if not state:
        raise WeightsUnavailable("The file holds no tensors.", "A state dict is needed: names and their tensors.")
    return state


def find_local_weights(name: str, data_dir: Path) -> Path | None:
    """`<data dir>/weights/<name>.safetensors` (or .pt, .pth, .bin) if it exists."""
    candidates = (data_dir / "weights" / f"{name}{suffix}" for suffix in SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def build_model(architecture: str, state: StateDict, source: str, *, only: str = "") -> torch.nn.Module:
    """The open_clip model with these weights. Every name must match.

    source: what messages call the weights; only: load only the part whose names start with this prefix and leave the
    rest uninitialised. Raises: WeightsUnavailable.
    """
    with _SkipRandomInit():
        model: torch.nn.Module = open_clip.create_model(architecture, pretrained=None, load_weights=False)
    expected = {name for name in model.state_dict() if name.startswith(only)}
    state = {name: tensor for name, tensor in state.items() if name.startswith(only)}
    missing, unknown = sorted(expected - set(state)), sorted(set(state) - expected)
    if missing or unknown:
        raise WeightsUnavailable(
            f"{source} does not hold the weights of {architecture}: {len(missing)} names are missing "
            f"({', '.join(missing[:3])}), {len(unknown)} are unknown ({', '.join(unknown[:3])}).",
            "Check that file and model name belong together.",
        )
    try:
        model.load_state_dict(state, strict=not only)
    except RuntimeError as error:
        raise WeightsUnavailable(
            f"{source} holds weights of another size than {architecture}.", str(error).splitlines()[-1].strip()
        ) from error
    return model.eval()


class _SkipRandomInit(TorchFunctionMode):
    """Modules built in this context, in this thread, are not initialised at random. That would take longer than reading
    the weights that replace it (building ViT-L/14: 3.7 s with it, 0.5 s without)."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def _wrapped(entries: dict[Any, Any]) -> dict[Any, Any] | None:
    return next((entries[key] for key in WRAPPERS if isinstance(entries.get(key), dict)), None)


def _is_safetensors(path: Path) -> bool:
    """Such a file begins with the length of a JSON object."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size


def _load_pickle(path: Path, mapped: bool) -> Any:
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"  # torch maps no other format
    with torch.serialization.safe_globals([(OrderedDict, CONFIGURATION)]):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and is_zip)


def _reason(error: Exception) -> str:
    """Why the file was refused. torch's own message begins with how to load the file anyway, code included."""
    named = _REFUSED_GLOBAL.search(str(error))
    if named:
        return f"it asks for {named[1]}"
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
