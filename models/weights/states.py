"""Weights: read from files that cannot run code, and known by a digest of what they hold.

A local file is safetensors, or a state dict that torch loads with `weights_only=True`. Published weights come through
open_clip's own download path, tried only after one quick look at whether its hub can be reached.
"""

from __future__ import annotations

import hashlib
import re
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError
from open_clip.pretrained import get_pretrained_cfg
from safetensors.torch import load_file
from torch.overrides import TorchFunctionMode

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
HUB_SECONDS = 4.0  # a hub that has not answered by then counts as out of reach
_UNSAFE_NAME = re.compile(r"GLOBAL (\S+)")  # in torch's refusal: the class or function that a pickle asks for
NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size", "attn_mask")  # entries of published files

StateDict = dict[str, torch.Tensor]


class WeightsUnavailable(Exception):
    """Weights cannot be had, or cannot be what they are taken for. `hint` says what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class QuickGeluMismatch(WeightsUnavailable):
    """Weights trained with QuickGELU in a model without it, or the reverse: it runs, and answers nonsense."""


def weights_digest(state: StateDict) -> str:
    """sha256 over names, dtypes, shapes and bytes, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)  # [bytes]
    return digest.hexdigest()


def read_state(path: Path) -> StateDict:
    """The state dict in a file, wrappers and `module.` prefixes removed. Raises: WeightsUnavailable."""
    if not path.is_file():
        raise WeightsUnavailable(f"There is no weights file {path.name}.", "Check VIREO_WEIGHTS.")
    return _plain(load_safely(path, path.name))


def load_safely(path: Path, source: str, *, mapped: bool = False) -> Any:
    """Whatever tensors and plain data a file holds, told by its content to be safetensors or a pickle; the latter runs
    no code. `source`: what to call it. `mapped`: leave tensors on the disk until they are read; the file must then
    stay as it is. Raises: WeightsUnavailable."""
    try:
        return load_file(path) if _is_safetensors(path) else _load_pickle(path, mapped)
    except Exception as error:  # damaged bytes raise whatever their reader stumbles over
        raise WeightsUnavailable(
            f"{source} is not a state dict that can be loaded safely.",
            "Save it as safetensors, or with torch.save(model.state_dict(), …). TorchScript archives and pickled "
            f"objects are refused because loading them runs code. ({_why(error)})",
        ) from error


def find_local(name: str, data_dir: Path) -> Path | None:
    """`<data dir>/weights/<name>.safetensors` (or .pt, .pth, .bin), if somebody put it there."""
    candidates = (data_dir / "weights" / f"{name}{suffix}" for suffix in SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def find_cached(architecture: str, tag: str) -> Path | None:
    """The file of a pretrained tag in the hub's cache on this machine."""
    repository = _repository(architecture, tag)
    hits = (try_to_load_from_cache(repository, file) for file in HUB_FILES) if repository else ()
    return next((Path(hit) for hit in hits if isinstance(hit, str)), None)


def hub_has(architecture: str, tag: str) -> bool:
    """Whether the hub answers for this tag, decided within HUB_SECONDS."""
    repository = _repository(architecture, tag)
    return bool(repository) and _in_time(lambda: _ask_hub(repository), HUB_SECONDS)


def hub_has_file(repository: str, file: str) -> bool:
    """The same question for one file of a repository."""
    return _in_time(lambda: get_hf_file_metadata(hf_hub_url(repository, file), timeout=HUB_SECONDS), HUB_SECONDS)


def build(architecture: str, state: StateDict, source: str, *, only: str = "") -> torch.nn.Module:
    """The open_clip model with these weights, every name matched. `only`: of the part whose names start so; the rest
    holds no values. Raises: WeightsUnavailable."""
    with _Undrawn():
        model: torch.nn.Module = open_clip.create_model(architecture, pretrained=None, load_weights=False)
    wanted = {name for name in model.state_dict() if name.startswith(only)}
    state = {name: tensor for name, tensor in state.items() if name.startswith(only)}
    state = {name: tensor for name, tensor in state.items() if name in wanted or name not in NOT_WEIGHTS}
    missing, unknown = sorted(wanted - set(state)), sorted(set(state) - wanted)
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


class _Undrawn(TorchFunctionMode):
    """Modules without their random start, which takes longer than reading what replaces it (ViT-L/14: 3.7 s against 0.5
    to build). In this thread only."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def download(architecture: str, tag: str) -> torch.nn.Module:
    """The model of a pretrained tag, through open_clip's own download. Raises: WeightsUnavailable."""
    check_quick_gelu(architecture, tag)
    if not hub_has(architecture, tag):
        raise WeightsUnavailable(
            f"The weights {tag!r} of {architecture} are not on this machine, and the model hub cannot be reached.",
            "Let this machine reach the hub once, or put the file in the data directory under weights/.",
        )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="QuickGELU mismatch")
            model: torch.nn.Module = open_clip.create_model(architecture, pretrained=tag)
    except UserWarning as error:
        raise QuickGeluMismatch(str(error), "Use the -quickgelu architecture.") from error
    except (OSError, RuntimeError) as error:
        raise WeightsUnavailable(
            f"The download of {tag!r} failed: {_first_line(error)}",
            "Try again, or place the file by hand.",
        ) from error
    return model.eval()


def check_quick_gelu(architecture: str, tag: str) -> None:
    """open_clip only warns here (its factory.py); for us it is an error. Raises: QuickGeluMismatch."""
    built = bool((open_clip.get_model_config(architecture) or {}).get("quick_gelu", False))
    trained = bool((get_pretrained_cfg(architecture, tag) or {}).get("quick_gelu", False))
    if built != trained:
        raise QuickGeluMismatch(
            f"The weights {tag!r} were trained {'with' if trained else 'without'} QuickGELU, but {architecture} is "
            f"built {'with' if built else 'without'} it.",
            f"Use {architecture.removesuffix('-quickgelu')}{'-quickgelu' if trained else ''}.",
        )


def _is_safetensors(path: Path) -> bool:
    """The file begins with the length of a JSON object."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size


def _load_pickle(path: Path, mapped: bool) -> Any:
    with path.open("rb") as file:
        in_new_format = file.read(4) == b"PK\x03\x04"  # torch maps no other
    return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and in_new_format)


def _why(error: Exception) -> str:
    """What stood in the way; torch's own words begin with how to read the file all the same, code included."""
    named = _UNSAFE_NAME.search(str(error))
    return f"it asks for {named[1]}" if named else _first_line(error)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]


def _plain(loaded: Any) -> StateDict:
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    entries = loaded.items() if isinstance(loaded, dict) else ()
    state = {str(name).removeprefix("module."): value for name, value in entries if isinstance(value, torch.Tensor)}
    if not state:
        raise WeightsUnavailable("The file holds no tensors.", "A state dict is needed: names and their tensors.")
    return state


def _repository(architecture: str, tag: str) -> str:
    """The hub repository of a tag, as open_clip's table names it; empty where it has none."""
    return str((get_pretrained_cfg(architecture, tag) or {}).get("hf_hub", "")).rstrip("/")


def _ask_hub(repository: str) -> None:
    """Raises: anything, where none of the files can be had. Older repositories hold the second one only."""
    for file in HUB_FILES[:-1]:
        try:
            get_hf_file_metadata(hf_hub_url(repository, file), timeout=HUB_SECONDS)
        except EntryNotFoundError:
            continue
        return
    get_hf_file_metadata(hf_hub_url(repository, HUB_FILES[-1]), timeout=HUB_SECONDS)


def _in_time(ask: Callable[[], object], seconds: float) -> bool:
    """Whether `ask` succeeds within `seconds`; a thread that hangs in the resolver is left behind."""
    answered = threading.Event()

    def run() -> None:
        try:
            ask()
        except Exception:
            return
        answered.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()
