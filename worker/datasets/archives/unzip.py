"""The entries of an untrusted zip."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path

from worker.datasets.archives.folder import CutOff, Folder, Metered, refuse_link, refuse_special
from worker.datasets.archives.names import hidden, refuse

_ENCRYPTED, _SAYS_UTF8 = 0x1, 0x800  # bits of an entry's flags


def unpack_zip(archive: Path, folder: Folder) -> None:
    try:
        opened = zipfile.ZipFile(archive)
    except zipfile.BadZipFile as error:  # its directory stands at the end
        raise CutOff from error
    with opened as file:
        for info in file.infolist():
            path = folder.enter(_name(info))
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind == stat.S_IFLNK:
                refuse_link(path)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                refuse_special(path)
            if info.is_dir() or not path:
                continue
            if info.flag_bits & _ENCRYPTED:
                refuse(path, "encrypted", "is encrypted", "Send the archive without a password.")
            if hidden(path):
                folder.ignore(path)
                continue
            _unpack_zipped(file, info, path, folder)


def _name(info: zipfile.ZipInfo) -> str:
    """Many programs write UTF-8 without saying so; the library then takes it for the code page of DOS."""
    if info.flag_bits & _SAYS_UTF8:
        return info.orig_filename
    try:
        return info.orig_filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.orig_filename


def _unpack_zipped(file: zipfile.ZipFile, info: zipfile.ZipInfo, path: str, folder: Folder) -> None:
    try:
        with file.open(info) as source:
            folder.write(path, Metered(source, folder), info.file_size)
    except NotImplementedError as error:
        refuse(path, "unsupported_format", f"is compressed in a way that is not understood ({error})")
    except (zipfile.BadZipFile, zlib.error) as error:
        refuse(path, "damaged", f"is damaged ({error})"[:200], "Pack it again, and send it again.")
