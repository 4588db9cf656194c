"""Unpacking an untrusted zip or tar: the part that runs in a child (`worker.datasets.archives.extraction` starts and watches it).

Any link, device or encrypted entry refuses the whole archive, as does any name that leads out of it; archives inside
are files like any other and stay packed.
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
from worker.datasets.archives.folder import CutOff, Folder, Tell, UnpackLimits
from worker.datasets.archives.formats import sniff
from worker.datasets.archives.untar import unpack_tar
from worker.datasets.archives.unzip import unpack_zip

# these libraries answer a damaged file with nearly any exception
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


def unpack_here(archive: Path, into: Path, limits: UnpackLimits, tell: Tell) -> None:
    """Tells of each file `{"path", "file", "size", "sha256"}`, of what is left packed `{"ignored": path}`, and now and
    then `{"files", "bytes"}`. Raises: InvalidArchive, StorageUnavailable."""
    folder = Folder(into, limits, archive.stat().st_size, tell)
    try:
        kind = sniff(archive)
        if kind == "zip":
            unpack_zip(archive, folder)
        else:
            unpack_tar(archive, kind, folder)
    except (EOFError, CutOff) as error:
        raise _cut_off() from error
    except MemoryError as error:
        raise InvalidArchive(
            "Unpacking the archive takes more memory than it may.", reason="memory", path=None
        ) from error
    except OSError as error:
        if error.errno in _CODEC_ERRNOS:
            raise _damaged(error) from error
        raise StorageUnavailable(f"The archive could not be unpacked: {error.strerror}.") from error
    except _DAMAGE as error:
        if "unexpected end" in str(error):  # a tar's
            raise _cut_off() from error
        raise _damaged(error) from error


def _cut_off() -> InvalidArchive:
    return InvalidArchive("The archive was cut off.", hint="Send it again.", reason="truncated", path=None)


def _damaged(error: BaseException) -> InvalidArchive:
    return InvalidArchive(
        f"The archive is damaged: {str(error) or type(error).__name__}."[:300],
        hint="Pack it again, and send it again.",
        reason="damaged",
        path=None,
    )
