"""Videos of a batch that are objects in an object store: read with the worker's own credentials, and stored like
uploaded ones."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import fsspec

from core.batches.request import check_object_url
from core.errors import UrlUnreachable
from core.settings import Settings
from core.storage import Store
from core.uploads.sink import VIDEO
from worker.inference.videos.facts import VideoBook
from worker.jobs.cancellation import CancelToken

_READ_BYTES = 4 << 20


class ObjectVideos:
    def __init__(self, settings: Settings, store: Store, book: VideoBook) -> None:
        self._store = store
        self._book = book
        self._limit = settings.max_upload_bytes
        self._prefixes = settings.batch_prefixes

    def of(self, book: VideoBook) -> ObjectVideos:
        """The same objects, for the videos of another book."""
        view = copy(self)
        view._book = book
        return view

    def store(self, url: str, token: CancelToken) -> str:
        """The sha256 of the video at `url`, which is in the store then.

        Raises: Cancelled, UrlNotAllowed, UrlUnreachable, VideoTooLarge, UndecodableVideo, StorageUnavailable,
        redis.RedisError.
        """
        check_object_url(url, self._prefixes)
        with self._store.stage() as staged:
            for chunk in _read(url):
                token.check()
                staged.write(chunk)
                if staged.size > self._limit:
                    raise VIDEO.too_large(self._limit)
            if staged.size == 0:
                raise VIDEO.empty()
            return self._book.add(staged)


def _read(url: str) -> Iterator[bytes]:
    """The bytes of the object at `url`. Raises: UrlUnreachable."""
    try:
        files, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
        with files.open(path, "rb", block_size=_READ_BYTES) as source:
            while chunk := source.read(_READ_BYTES):
                yield chunk
    except FileNotFoundError:
        raise UrlUnreachable(f"There is no object {url}.") from None
    except ImportError as error:
        raise UrlUnreachable(
            f"This worker cannot read objects: {error}.", hint="pip install 'vireo-server[s3]'."
        ) from None
    except Exception as error:  # each object store has errors of its own
        raise UrlUnreachable(
            f"{url} cannot be read: {type(error).__name__}.",
            hint="The worker reads objects with its own credentials. Ask the operator whether they allow it.",
        ) from error
