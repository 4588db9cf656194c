"""The names in an archive: which of them are refused, and which are not worth unpacking.

A name never becomes a path on this machine (`unpack` writes under numbers), so a bad one could do no harm. An archive
that has one was still made to do harm, or by a broken program: either way its content is not what the user means.
"""

from __future__ import annotations

import re
from typing import NoReturn

from core.errors import InvalidArchive

MAX_PATH = 1024  # characters, of the whole name
MAX_PART = 255  # bytes, of one folder or file: what file systems allow
MAX_DEPTH = 32  # folders

_DRIVE = re.compile(r"[A-Za-z]:")
_SURROGATE = re.compile("[\ud800-\udfff]")
_HIDDEN_FOLDERS = {"__macosx", "@eadir", "$recycle.bin", "system volume information"}
_HIDDEN_FILES = {"thumbs.db", "desktop.ini", "icon\r", "ehthumbs.db"}


def clean_path(name: str) -> str:
    """The same name without "./" and doubled slashes; "" for the archive's own root. Raises: InvalidArchive."""
    if "\0" in name:
        refuse(name, "nul_in_name", "has a zero byte in its name")
    if "\\" in name:
        refuse(
            name, "backslash", "has a backslash in its name", "Pack it again with a tool that writes forward slashes."
        )
    if name.startswith("/"):
        refuse(name, "absolute_path", "has an absolute path")
    if _DRIVE.match(name):
        refuse(name, "drive_letter", "begins with a drive letter")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        refuse(name, "parent_path", 'leads out of the archive by ".."')
    if len(name) > MAX_PATH or any(len(part.encode("utf-8", "replace")) > MAX_PART for part in parts):
        refuse(name, "path_too_long", f"has a name above {MAX_PATH} characters, or a part of it above {MAX_PART} bytes")
    if len(parts) - 1 > MAX_DEPTH:
        refuse(name, "path_too_deep", f"lies more than {MAX_DEPTH} folders deep")
    return printable("/".join(parts))


def hidden(path: str) -> bool:
    """Whether some program left it there, and no user means it: `.DS_Store`, `__MACOSX/…`, `._clip.mp4`."""
    *folders, file = path.casefold().split("/")
    return (
        file in _HIDDEN_FILES
        or file.startswith(".")
        or any(folder in _HIDDEN_FOLDERS or folder.startswith(".") for folder in folders)
    )


def printable(name: str) -> str:
    """Tar names need not be UTF-8: what is not becomes U+FFFD, so that it can be stored and shown."""
    return _SURROGATE.sub("\ufffd", name)


def refuse(name: str, reason: str, what: str, hint: str | None = None) -> NoReturn:
    """Raises: InvalidArchive."""
    shown = printable(name).replace("\0", "␀")[:200]
    raise InvalidArchive(
        f'The entry "{shown}" {what}: the archive was not unpacked.', hint=hint, reason=reason, path=shown
    )
