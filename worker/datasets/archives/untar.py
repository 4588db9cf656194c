"""The entries of an untrusted tar, in one pass over its stream."""

from __future__ import annotations

import tarfile
from pathlib import Path
from tarfile import HeaderError
from typing import IO, Self, cast

from worker.datasets.archives.folder import (
    CHUNK_BYTES,
    CountedStream,
    TruncatedArchive,
    UnpackFolder,
    refuse_link,
    refuse_special,
)
from worker.datasets.archives.formats import ArchiveKind, not_an_archive, open_tar_stream
from worker.datasets.archives.names import is_system_file, refuse_entry


class _EndMark(Exception):
    """The block of zeros that ends a tar."""


class _BadHeader(Exception):
    """A block of a tar that should describe an entry but does not."""


def unpack_tar(archive: Path, kind: ArchiveKind, folder: UnpackFolder) -> None:
    with open_tar_stream(archive, kind) as unzipped:
        stream = CountedStream(unzipped, folder)
        try:
            with tarfile.open(
                mode="r|",
                fileobj=cast(IO[bytes], stream),
                bufsize=CHUNK_BYTES,
                tarinfo=_Header,
                encoding="utf-8",
                errors="surrogateescape",
            ) as tar:
                while (info := tar.next()) is not None:
                    tar.members = []  # type: ignore[attr-defined]  # the library would keep them all in memory
                    _unpack_tarred(tar, info, folder)
        except _EndMark:
            pass
        except _BadHeader as error:
            raise not_an_archive() if folder.is_empty else tarfile.ReadError(str(error)) from error
        while stream.read():  # the checksum of the compressed stream follows the tar
            pass


def _unpack_tarred(tar: tarfile.TarFile, info: tarfile.TarInfo, folder: UnpackFolder) -> None:
    path = folder.next_entry(info.name)
    if info.issym() or info.islnk():
        refuse_link(path)
    if info.issparse():
        refuse_entry(path, "sparse", "is a sparse file", "Pack it again without --sparse.")
    if info.isdir():
        return
    if not info.isreg():
        refuse_special(path)
    if is_system_file(path):
        folder.ignore(path)
    elif path:
        source = tar.extractfile(info)
        assert source is not None  # the entry is a regular file
        folder.write(path, source, info.size)


class _Header(tarfile.TarInfo):
    """The library takes a broken header in the middle for the end of the archive and would silently lose the rest."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        if len(buf) < tarfile.BLOCKSIZE:
            raise TruncatedArchive
        if not any(buf):
            raise _EndMark
        return super().frombuf(buf, encoding, errors)

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            raise _BadHeader(str(error)) from error
