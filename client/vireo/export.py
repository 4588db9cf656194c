"""Turns a version's weights into a plain open_clip state dict, which other programs can load.

A safetensors file is a length, a JSON header and raw bytes. Tensors are dropped by copying only the byte ranges of the
others, so no array library is needed, and no more memory than one chunk.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from vireo.errors import InvalidCheckpoint

VIREO_MODULES = ("temporal", "time_blocks", "extension", "anchors", "classifier", "context", "prompts")
"""Modules that open_clip's architectures do not have: the first part of their tensors' names."""

_NOT_TEXT = ("visual", "logit_scale", "logit_bias")
_METADATA = "__metadata__"
_LENGTH_BYTES = 8
_ALIGNMENT = 8  # bytes: readers map the tensors that follow the header
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Stripped:
    """What was written: the number of tensors, the modules that were left out, whether it has a text tower."""

    tensors: int
    dropped: tuple[str, ...]  # members of VIREO_MODULES that were in the file
    text: bool


def strip(weights: Path, target: Path) -> Stripped:
    """Write only the tensors that open_clip knows. Raises: InvalidCheckpoint if `weights` is not a safetensors file."""
    with weights.open("rb") as source, target.open("wb") as sink:
        header = _read_header(source)
        start = source.tell()
        modules = {name: name.partition(".")[0] for name in header}
        if "prompts" in modules.values() and "visual" not in modules.values():
            raise InvalidCheckpoint(
                "This version consists of prompts only, which no other program knows.", hint="Export its base instead."
            )
        written = {name: entry for name, entry in header.items() if modules[name] not in VIREO_MODULES}
        _write_header(sink, written)
        for entry in written.values():
            first, end = entry["data_offsets"]
            source.seek(start + first)
            _copy(source, sink, end - first)
    return Stripped(
        tensors=len(written),
        dropped=tuple(sorted(set(modules.values()) & set(VIREO_MODULES))),
        text=any(modules[name] not in _NOT_TEXT for name in written),
    )


def _read_header(source: IO[bytes]) -> dict[str, Any]:
    """Tensor name → dtype, shape and data_offsets, in the order of the file."""
    try:
        length = int.from_bytes(source.read(_LENGTH_BYTES), "little")
        header: dict[str, Any] = json.loads(source.read(length))
        header.pop(_METADATA, None)
        return dict(sorted(header.items(), key=lambda item: int(item[1]["data_offsets"][0])))
    except (ValueError, TypeError, KeyError, AttributeError, MemoryError, OverflowError) as error:
        raise InvalidCheckpoint("The downloaded weights are not a safetensors file.") from error


def _write_header(sink: IO[bytes], entries: dict[str, Any]) -> None:
    header: dict[str, Any] = {_METADATA: {"format": "pt"}}
    offset = 0
    for name, entry in entries.items():
        size = entry["data_offsets"][1] - entry["data_offsets"][0]
        header[name] = entry | {"data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    sink.write(len(text).to_bytes(_LENGTH_BYTES, "little") + text)


def _copy(source: IO[bytes], sink: IO[bytes], size: int) -> None:
    while size:
        chunk = source.read(min(size, _CHUNK))
        if not chunk:
            raise InvalidCheckpoint("The downloaded weights end too early.")
        sink.write(chunk)
        size -= len(chunk)
