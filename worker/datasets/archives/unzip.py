"""The entries of an untrusted zip."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path

from worker.datasets.archives.folder import CountedStream, TruncatedArchive, UnpackFolder, refuse_link, refuse_special
from worker.datasets.archives.names import is_system_file, refuse_entry

_ENCRYPTED, _UTF8_NAME = 0x1, 0x800  # bits of an entry's flags


def unpack_zip(archive: Path, folder: UnpackFolder) -> None:
    try:
        opened = zipfile.ZipFile(archive)
    except zipfile.BadZipFile as error:  # its directory is at the end of the file
        raise TruncatedArchive from error
    with opened as file:
        for info in file.infolist():
            path = folder.next_entry(_name(info))
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind == stat.S_IFLNK:
                refuse_link(path)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                refuse_special(path)
            if info.is_dir() or not path:
                continue
            if info.flag_bits & _ENCRYPTED:
                refuse_entry(path, "encrypted", "is encrypted", "Send the archive without a password.")
            if is_system_file(path):
                folder.ignore(path)
                continue
            _unpack_zipped(file, info, path, folder)


def _name(info: zipfile.ZipInfo) -> str:
    """Many programs write UTF-8 names without the flag for it. The library then decodes them by the DOS code page."""
    if info.flag_bits & _UTF8_NAME:
        return info.orig_filename
    try:
        return info.orig_filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.orig_filename


def _unpack_zipped(file: zipfile.ZipFile, info: zipfile.ZipInfo, path: str, folder: UnpackFolder) -> None:
    try:
        with file.open(info) as source:
            folder.write(path, CountedStream(source, folder), info.file_size)
    except NotImplementedError as error:
        refuse_entry(path, "unsupported_format", f"uses a compression that is not supported ({error})")
    except (zipfile.BadZipFile, zlib.error) as error:
        refuse_entry(path, "damaged", f"is damaged ({error})"[:200], "Pack it again, and upload it again.")
