"""Unpacking an untrusted zip or tar: the part that runs in the child, which `extraction` starts and watches.

The whole archive is refused if it has a link, a device, an encrypted entry or a name that leads out of the archive.
Archives inside the archive are files like any other and stay packed.
"""

from __future__ import annotations

import errno
import lzma
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

from core.errors import InvalidArchive, StorageUnavailable
from worker.datasets.archives.folder import Notify, TruncatedArchive, UnpackFolder, UnpackLimits
from worker.datasets.archives.formats import detect_kind
from worker.datasets.archives.untar import unpack_tar
from worker.datasets.archives.unzip import unpack_zip

# these libraries raise nearly any exception on a damaged file
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    ArithmeticError,
    LookupError,
    NotImplementedError,
    RecursionError,
    ValueError,
)

_CODEC_ERRNOS = (None, errno.EINVAL, errno.EOVERFLOW)  # the codecs' own errors; offsets that no file has


def unpack_entries(archive: Path, into: Path, limits: UnpackLimits, notify: Notify) -> None:
    """Notifies of each file with `{"path", "file", "size", "sha256"}`, of each file that is not unpacked with
    `{"ignored": path}`, and of the progress with `{"files", "bytes"}`. Raises: InvalidArchive, StorageUnavailable."""
    folder = UnpackFolder(into, limits, archive.stat().st_size, notify)
    try:
        kind = detect_kind(archive)
        if kind == "zip":
            unpack_zip(archive, folder)
        else:
            unpack_tar(archive, kind, folder)
    except (EOFError, TruncatedArchive) as error:
        raise _cut_off() from error
    except MemoryError as error:
        raise InvalidArchive(
            "Unpacking the archive needs more memory than it may use.", reason="memory", path=None
        ) from error
    except OSError as error:
        if error.errno in _CODEC_ERRNOS:
            raise _damaged(error) from error
        raise StorageUnavailable(f"The archive could not be unpacked: {error.strerror}.") from error
    except _DAMAGE as error:
        if "unexpected end" in str(error):  # tarfile's message
            raise _cut_off() from error
        raise _damaged(error) from error


def _cut_off() -> InvalidArchive:
    return InvalidArchive(
        "The archive is incomplete: its end is missing.", hint="Upload it again.", reason="truncated", path=None
    )


def _damaged(error: BaseException) -> InvalidArchive:
    return InvalidArchive(
        f"The archive is damaged: {str(error) or type(error).__name__}."[:300],
        hint="Pack it again, and upload it again.",
        reason="damaged",
        path=None,
    )
