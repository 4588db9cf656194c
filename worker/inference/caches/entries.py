"""The envelope of a cache entry in Redis: its format, a checksum, its content.

Workers of several versions may share a cache, and anything may have written under a key. What another format or a
damaged entry holds is unknown, so it counts as a miss.
"""

from __future__ import annotations

import zlib

_MAGIC = b"vireo"
_HEADER = len(_MAGIC) + 1 + 4  # magic, format, CRC-32


def seal(content: bytes, version: int) -> bytes:
    """`version`: of the content's format, 0 to 255."""
    return _MAGIC + bytes([version]) + zlib.crc32(content).to_bytes(4, "big") + content


def unseal(entry: bytes, version: int) -> bytes | None:
    """The content; None for an entry of another format, and for a damaged one."""
    content = entry[_HEADER:]
    return content if entry[:_HEADER] == seal(content, version)[:_HEADER] else None
