"""`python -m worker.importing.import_child SPEC`: the process that meets a checkpoint somebody sent.

torch is imported here and not in the worker, so that a file can kill or bloat nothing but this. No code of the file is
run, memory and file size are bounded, and it dies with the worker. `worker.importing.importer` is the other end.
"""

from __future__ import annotations

import errno
import logging
import platform
import resource
import sys
import traceback
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from core.errors import InvalidCheckpoint, StorageUnavailable, VireoError
from core.processes import die_with_parent, limit_resources
from core.vocabulary import TemporalKind
from worker.children.messages import say

FAILED = 70  # exit status: not 1, which is an interpreter's that could not even import this
_PACKAGES = ("vireo", "torch", "open_clip_torch", "safetensors")
_OPEN_FILES = 256
_TORCH_BYTES = 8 << 30  # address space that torch takes by itself, its CUDA libraries included
_PER_BYTE = 8  # address space per byte of the file: half precision becomes single, and stands in three copies at most


class Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path
    filename: str  # as the user called it
    output: Path  # an empty directory
    base: str | None
    temporal: TemporalKind | None
    frames: int | None
    data_dir: Path


def main() -> int:
    die_with_parent()
    logging.disable(logging.WARNING)  # open_clip warns of weights that it was told not to load
    spec = Spec.model_validate_json(sys.argv[1])
    _confine(spec.file.stat().st_size)
    import models.files.published.checkpoint  # noqa: F401 -- where torch is missing, this must end before the file is blamed

    try:
        say("result", **_read(spec))
    except VireoError as error:
        say("error", **error.to_dict())
    except Exception:
        traceback.print_exc()  # to the worker's log
        return FAILED
    return 0


def _read(spec: Spec) -> dict[str, Any]:
    """Writes `spec.output`; → what the card must say. Raises: InvalidCheckpoint, StorageUnavailable."""
    from models.files.published import checkpoint
    from models.weights.errors import WeightsUnavailable

    options = checkpoint.ImportOptions(spec.base, spec.temporal, spec.frames)
    try:
        published = checkpoint.read_published(spec.file, spec.filename, options, spec.data_dir)
        facts = checkpoint.write_published(spec.output, published)
    except WeightsUnavailable as error:
        raise InvalidCheckpoint(error.message, hint=error.hint) from error
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise _too_big() from error
        raise StorageUnavailable(f"The version could not be written: {error.strerror}.") from error
    except MemoryError as error:
        raise _too_big() from error
    except RuntimeError as error:
        if "allocate memory" in str(error):  # torch's own word for it
            raise _too_big() from error
        raise
    return facts | {"packages": _packages()}


def _too_big() -> InvalidCheckpoint:
    return InvalidCheckpoint(
        "Reading the file takes more memory than a checkpoint of its size can need.",
        hint="Save the state dict alone, in torch's usual format or as safetensors.",
    )


def _confine(size: int) -> None:
    """`size`: of the file, bytes."""
    limit_resources(
        {
            resource.RLIMIT_AS: _TORCH_BYTES + _PER_BYTE * size,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_FSIZE: (64 << 20) + 4 * size,
            resource.RLIMIT_NOFILE: _OPEN_FILES,
        }
    )


def _packages() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in _PACKAGES if _there(name)}


def _there(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:  # Vireo itself, run from its sources
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
