"""Where a video comes from: a file, bytes, a file object, a URL, or a video that the server stores."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from vireo.errors import InvalidRequest
from vireo.schema.questions import VideoRef
from vireo.schema.videos import Video
from vireo.transfers import TransferProgress

VideoSource = str | os.PathLike[str] | bytes | IO[bytes] | Video | VideoRef
"""A text is always the path of a file. URLs and ids have arguments of their own: `video_url`, `video_id`."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a form: one on disk, bytes, or an open file, which is read from where it stands."""

    field: str
    content: Path | bytes | IO[bytes]
    name: str
    start: int | None = 0
    """where an open file stands; None if it cannot be read twice"""

    def open(self, progress: TransferProgress | None) -> CountedFile:
        """What is sent, from its beginning. Raises: OSError."""
        if isinstance(self.content, Path):
            return CountedFile(self.content.open("rb"), 0, progress, owned=True)
        if isinstance(self.content, bytes):
            return CountedFile(io.BytesIO(self.content), 0, progress, owned=True)
        return CountedFile(self.content, self.start, progress, owned=False)


def upload(field: str, source: str | os.PathLike[str] | bytes | IO[bytes]) -> Upload:
    """A file to send in the form's field `field`. Raises: InvalidRequest; OSError if a file object is closed."""
    if isinstance(source, bytes):
        return Upload(field, source, field)
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        _check_is_file(path, os.fspath(source))
        return Upload(field, path, path.name)
    _check_is_binary(source)
    name = getattr(source, "name", None)
    return Upload(field, source, Path(name).name if isinstance(name, str) else field, _place(source))


def video_part(source: VideoSource | None, video_url: str | None, video_id: str | None) -> Upload | dict[str, str]:
    """The one video of a request: a file to send, or the field that names it. Raises: InvalidRequest; OSError."""
    given = [each for each in (source, video_url, video_id) if each is not None]
    if len(given) != 1:
        raise InvalidRequest(
            "Give one video." if not given else "Give only one video.",
            hint="A file (path, bytes or file object), video_url=, or video_id=.",
        )
    if video_url is not None:
        return {"video_url": video_url}
    if video_id is not None:
        return {"video_id": video_id}
    if isinstance(source, Video | VideoRef):
        return {"video_id": source.id}
    assert source is not None
    return upload("video", source)


def _check_is_file(path: Path, text: str) -> None:
    """Raises: InvalidRequest for what looks like something else than a path, and for a directory; OSError."""
    if path.is_dir():
        raise InvalidRequest(f"{path} is a directory.", hint="Send its files one by one.")
    if path.exists():
        return
    if text.startswith(("http://", "https://")):
        raise InvalidRequest(f"There is no file {text}.", hint="Pass the URL of a video as video_url=.")
    if text.startswith("vid_"):
        raise InvalidRequest(f"There is no file {text}.", hint="Pass the id of a stored video as video_id=.")
    raise FileNotFoundError(2, "No such file", str(path))


def _check_is_binary(file: Any) -> None:
    """Raises: InvalidRequest."""
    if not hasattr(file, "read") or isinstance(file, io.TextIOBase):
        raise InvalidRequest(
            f"{file!r} is neither a path, nor bytes, nor a file of bytes.", hint='Open files with mode "rb".'
        )


def _place(file: IO[bytes]) -> int | None:
    try:
        return file.tell() if file.seekable() else None
    except (AttributeError, io.UnsupportedOperation):
        return None


class CountedFile(io.RawIOBase):
    """The rest of a file, which says how much of it has been read, so that an upload can show its progress."""

    def __init__(self, file: IO[bytes], start: int | None, progress: TransferProgress | None, *, owned: bool) -> None:
        """`owned`: whether closing this closes the file."""
        self._file, self._start, self._progress, self._owned = file, start, progress, owned
        self._size = self._done = 0
        if start is not None:
            self._size = file.seek(0, os.SEEK_END) - start
            file.seek(start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._start is not None

    def read(self, size: int = -1, /) -> bytes:
        chunk = self._file.read(size)
        self._done += len(chunk)
        if self._progress and self._start is not None:
            self._progress(min(self._done, self._size), self._size)
        return chunk

    def tell(self) -> int:
        return self._done

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """`whence`: from the beginning or from the end."""
        if self._start is None:
            raise io.UnsupportedOperation("seek")
        self._done = self._size + offset if whence == os.SEEK_END else offset
        self._file.seek(self._start + self._done)
        return self._done

    def close(self) -> None:
        if self._owned and not self.closed:
            self._file.close()
        super().close()

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")  # its size would be taken for ours


def form_fields(fields: dict[str, Any]) -> dict[str, str]:
    """The text fields of a form: what is no text is sent as JSON."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
