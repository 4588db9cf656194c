"""The names in an archive: which of them are refused, and which files are not worth unpacking.

A name never becomes a path on this machine (files are written under numbers), so a bad name does no harm. It still
shows that the archive is an attack or was made by a broken program. In both cases its content is not what the user
meant to send.
"""

from __future__ import annotations

import re
from typing import NoReturn

from core.errors import InvalidArchive

MAX_PATH = 1024  # characters of the whole name
MAX_PART = 255  # bytes of one folder or file name, as file systems allow
MAX_DEPTH = 32  # folders

_DRIVE = re.compile(r"[A-Za-z]:")
_SURROGATE = re.compile("[\ud800-\udfff]")
_HIDDEN_FOLDERS = {"__macosx", "@eadir", "$recycle.bin", "system volume information"}
_HIDDEN_FILES = {"thumbs.db", "desktop.ini", "icon\r", "ehthumbs.db"}


def clean_path(name: str) -> str:
    """The name without "./" and doubled slashes; "" for the root of the archive. Raises: InvalidArchive."""
    if "\0" in name:
        refuse_entry(name, "nul_in_name", "has a zero byte in its name")
    if "\\" in name:
        refuse_entry(
            name, "backslash", "has a backslash in its name", "Pack it again with a tool that writes forward slashes."
        )
    if name.startswith("/"):
        refuse_entry(name, "absolute_path", "has an absolute path")
    if _DRIVE.match(name):
        refuse_entry(name, "drive_letter", "begins with a drive letter")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        refuse_entry(name, "parent_path", 'leads out of the archive with ".."')
    if len(name) > MAX_PATH or any(len(part.encode("utf-8", "replace")) > MAX_PART for part in parts):
        refuse_entry(
            name,
            "path_too_long",
            f"has a name of more than {MAX_PATH} characters, or a part of more than {MAX_PART} bytes",
        )
    if len(parts) - 1 > MAX_DEPTH:
        refuse_entry(name, "path_too_deep", f"lies more than {MAX_DEPTH} folders deep")
    return replace_surrogates("/".join(parts))


def is_system_file(path: str) -> bool:
    """Whether a program created the file without the user's knowledge: `.DS_Store`, `__MACOSX/…`, `._clip.mp4`."""
    *folders, file = path.casefold().split("/")
    return (
        file in _HIDDEN_FILES
        or file.startswith(".")
        or any(folder in _HIDDEN_FOLDERS or folder.startswith(".") for folder in folders)
    )


def replace_surrogates(name: str) -> str:
    """Tar names need not be UTF-8. Invalid bytes become U+FFFD, so that the name can be stored and shown."""
    return _SURROGATE.sub("\ufffd", name)


def refuse_entry(name: str, reason: str, what: str, hint: str | None = None) -> NoReturn:
    """Raises: InvalidArchive."""
    shown = replace_surrogates(name).replace("\0", "␀")[:200]
    raise InvalidArchive(
        f'The entry "{shown}" {what}. The archive was not unpacked.', hint=hint, reason=reason, path=shown
    )
