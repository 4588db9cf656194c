"""The smallest parts of containers, as bytes: boxes of MP4, elements of Matroska, chunks of PNG and lists of AVI."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def ebml(number: int, content: bytes) -> bytes:
    """number: of the element, with its marker bits."""
    return _number(number) + (len(content) | 1 << 56).to_bytes(8, "big") + content


def unknown_element(number: int) -> bytes:
    """The head of an element that ends where the file does."""
    return _number(number) + b"\x01" + b"\xff" * 7


def elements(frame: bytes) -> bytes:
    """A cluster with one frame of track 1."""
    return ebml(0x1F43B675, ebml(0xE7, b"\0") + ebml(0xA3, b"\x81\0\0\x80" + frame))


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def audio_video_list(kind: bytes, chunks: Iterable[tuple[bytes, bytes]], more: bytes = b"") -> bytes:
    content = b"".join(name + struct.pack("<I", len(data)) + data for name, data in chunks) + more
    return b"LIST" + struct.pack("<I", len(content) + 4) + kind + content


def _number(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
