"""Published weights: the cache of the model hub on this machine, and downloads through open_clip.

Before a download, one quick request checks that the hub can be reached, so a machine without a network never waits
for retries.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import open_clip
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError
from open_clip.pretrained import get_pretrained_cfg

from models.weights.errors import QuickGeluMismatch, WeightsUnavailable

HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
HUB_SECONDS = 4.0  # a hub that has not answered by then counts as unreachable


def find_cached_weights(architecture: str, tag: str) -> Path | None:
    """The file of a pretrained tag in the hub's cache on this machine."""
    repository = _repository(architecture, tag)
    hits = (try_to_load_from_cache(repository, file) for file in HUB_FILES) if repository else ()
    return next((Path(hit) for hit in hits if isinstance(hit, str)), None)


def hub_has_weights(architecture: str, tag: str) -> bool:
    """Whether the hub can be reached and has this tag. The answer comes within HUB_SECONDS."""
    repository = _repository(architecture, tag)
    return bool(repository) and _succeeds_within(HUB_SECONDS, lambda: _request_weights(repository))


def hub_has_file(repository: str, file: str) -> bool:
    """Whether the hub can be reached and has this file. The answer comes within HUB_SECONDS."""
    return _succeeds_within(HUB_SECONDS, lambda: _request_file(repository, file))


def download_model(architecture: str, tag: str) -> torch.nn.Module:
    """The model of a pretrained tag, downloaded by open_clip. Raises: WeightsUnavailable."""
    check_quick_gelu(architecture, tag)
    if not hub_has_weights(architecture, tag):
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
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
        raise WeightsUnavailable(
            f"The download of {tag!r} failed: {reason}",
            "Try again, or put the file in the data directory under weights/.",
        ) from error
    return model.eval()


def check_quick_gelu(architecture: str, tag: str) -> None:
    """open_clip only warns about a mismatch (its factory.py); Vireo refuses it. Raises: QuickGeluMismatch."""
    built = bool((open_clip.get_model_config(architecture) or {}).get("quick_gelu", False))
    trained = bool((get_pretrained_cfg(architecture, tag) or {}).get("quick_gelu", False))
    if built != trained:
        raise QuickGeluMismatch(
            f"The weights {tag!r} were trained {'with' if trained else 'without'} QuickGELU, but {architecture} is "
            f"built {'with' if built else 'without'} it.",
            f"Use {architecture.removesuffix('-quickgelu')}{'-quickgelu' if trained else ''}.",
        )


def _repository(architecture: str, tag: str) -> str:
    """The hub repository of a tag, from open_clip's table; empty if the tag has none."""
    return str((get_pretrained_cfg(architecture, tag) or {}).get("hf_hub", "")).rstrip("/")


def _request_weights(repository: str) -> None:
    """Raises: any exception if none of the files is available. Older repositories have only the second one."""
    for file in HUB_FILES[:-1]:
        try:
            _request_file(repository, file)
        except EntryNotFoundError:
            continue
        return
    _request_file(repository, HUB_FILES[-1])


def _request_file(repository: str, file: str) -> None:
    get_hf_file_metadata(hf_hub_url(repository, file), timeout=HUB_SECONDS)


def _succeeds_within(seconds: float, request: Callable[[], object]) -> bool:
    """Whether `request` succeeds in time. A thread that hangs in name resolution is abandoned."""
    succeeded = threading.Event()

    def run() -> None:
        try:
            request()
        except Exception:
            return
        succeeded.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return succeeded.is_set()
