"""`python -m worker.importing.import_child SPEC`: the process that reads an uploaded checkpoint.

torch is imported here and not in the worker, so that a bad file can crash only this process. It runs no code from the
file, its memory and file size are limited, and it dies with the worker. It can read the file and published weights and
write into the version's folder; it has no network and starts no process. `worker.importing.importer` starts it.
"""

from __future__ import annotations

import errno
import logging
import os
import resource
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from core.errors import InvalidCheckpoint, StorageUnavailable, VireoError
from core.processes import die_with_parent, limit_resources
from worker.children.confinement import code_paths, restrict_files, restrict_system_calls
from worker.children.messages import send_message
from worker.children.packages import installed_packages
from worker.children.system_calls import file_reader_rules
from worker.importing.spec import ImportSpec

_FAILED = 70  # exit status; 1 is that of an interpreter that could not import this module
_PACKAGES = ("vireo-server", "torch", "open_clip_torch", "safetensors")
_OPEN_FILES = 256
_TORCH_BYTES = 8 << 30  # address space of torch itself, with its CUDA libraries
_PER_BYTE = 8  # address space per byte of the file: half precision becomes single, in at most three copies


def main() -> int:
    die_with_parent()
    logging.disable(logging.WARNING)  # open_clip warns about weights that it was told not to load
    spec = ImportSpec.model_validate_json(sys.argv[1])
    _limit_process(spec.file.stat().st_size)
    packages = installed_packages(_PACKAGES)  # before the sources' own metadata can no longer be read
    # files first, because torch starts threads, which a later rule would not reach
    writable = [spec.output, Path(tempfile.gettempdir())]  # the importer has made a directory for this child alone
    _warn(restrict_files([*code_paths(), spec.file, *_weights(spec.data_dir)], writable))
    # where torch is missing, the process must end here, before it blames the file
    import models.files.published.checkpoint  # noqa: F401

    _warn(restrict_system_calls(file_reader_rules()))
    try:
        send_message("result", **read(spec), packages=packages)
    except VireoError as error:
        send_message("error", **error.to_dict())
    except Exception:
        traceback.print_exc()  # to the worker's log
        return _FAILED
    return 0


def read(spec: ImportSpec) -> dict[str, Any]:
    """Writes the version into `spec.output` and returns the facts for its card.

    Raises: InvalidCheckpoint, StorageUnavailable.
    """
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
        if "allocate memory" in str(error):  # torch's own message
            raise _too_big() from error
        raise
    return facts


def _weights(data_dir: Path) -> list[Path]:
    """Where weights of published models may be: beside the data, and in the model hub's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    hub = Path(os.environ.get("HF_HOME") or cache / "huggingface")
    return [data_dir / "weights", Path(os.environ.get("HF_HUB_CACHE") or hub / "hub")]


def _warn(missing: str | None) -> None:
    if missing:
        sys.stderr.write(f"{missing}\n")


def _too_big() -> InvalidCheckpoint:
    return InvalidCheckpoint(
        "Reading the file takes more memory than a checkpoint of its size can need.",
        hint="Save only the state dict, in torch's usual format or as safetensors.",
    )


def _limit_process(size: int) -> None:
    """`size`: bytes of the file."""
    limit_resources(
        {
            resource.RLIMIT_AS: _TORCH_BYTES + _PER_BYTE * size,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_FSIZE: (64 << 20) + 4 * size,
            resource.RLIMIT_NOFILE: _OPEN_FILES,
        }
    )


if __name__ == "__main__":
    sys.exit(main())
