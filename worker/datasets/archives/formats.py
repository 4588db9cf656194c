"""The format of an archive, recognised by its first bytes and never by its name."""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import tarfile
from pathlib import Path
from typing import IO, Literal, cast

from core.errors import InvalidArchive

ArchiveKind = Literal["zip", "tar", "gz", "bz2", "xz", "zst"]

_MAGIC: tuple[tuple[bytes, ArchiveKind], ...] = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),  # a zip without entries
    (b"\x1f\x8b", "gz"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zst"),
)
_UNSUPPORTED = ((b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!", "rar"), (b"PK\x07\x08", "split zip"))
_SUPPORTED = "Send a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz."


def detect_kind(path: Path) -> ArchiveKind:
    """A compressed file is assumed to hold a tar. Raises: InvalidArchive."""
    with path.open("rb") as file:
        head = file.read(tarfile.BLOCKSIZE)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    for magic, name in _UNSUPPORTED:
        if head.startswith(magic):
            raise InvalidArchive(
                f"This is a {name} archive, which is not supported.",
                hint=_SUPPORTED,
                reason="unsupported_format",
                path=None,
            )
    if head.startswith(b"\0" * tarfile.BLOCKSIZE):  # a tar without entries consists of its end mark
        return "tar"
    try:
        tarfile.TarInfo.frombuf(
            head, "utf-8", "surrogateescape"
        )  # a tar header has a checksum but, in old formats, no magic number
    except tarfile.HeaderError:
        raise not_an_archive() from None
    return "tar"


def open_tar_stream(path: Path, kind: ArchiveKind) -> IO[bytes]:
    """The uncompressed bytes of the tar. Raises: InvalidArchive, OSError; reading raises the codec's own errors."""
    if kind == "gz":
        return cast(IO[bytes], gzip.open(path))
    if kind == "bz2":
        return cast(IO[bytes], bz2.open(path))
    if kind == "xz":
        return cast(IO[bytes], lzma.open(path))
    if kind == "zst":
        return _open_zst(path)
    return path.open("rb")


def not_an_archive() -> InvalidArchive:
    return InvalidArchive("This file is not an archive.", hint=_SUPPORTED, reason="not_an_archive", path=None)


def _open_zst(path: Path) -> IO[bytes]:
    try:
        zstd = importlib.import_module("compression.zstd")  # since Python 3.14
    except ImportError:
        raise InvalidArchive(
            "This server cannot read zstd: it runs on a Python older than 3.14.",
            hint=_SUPPORTED,
            reason="unsupported_format",
            path=None,
        ) from None
    return cast(IO[bytes], zstd.open(path))
