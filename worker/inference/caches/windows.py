"""The windows of stored videos in memory, one matrix for each model, for the search: an exact inner product.

A search reads the rows that were there when it began. Rows of a deleted video stay until half of the matrix is of such
rows, and then a new matrix is made.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from models.frames.arrays import BoolArray, FloatArray, IntArray

MODELS = 2  # with so many full indexes in memory, those of the least recently searched models are dropped first
_FIRST_ROWS = 1024
_MOST_INDEXES = 1000


@dataclass(frozen=True, slots=True)
class Windows:
    """vectors: float32 [N, d] of one video, unit vectors where cosines are wanted; starts, ends: seconds [N]."""

    vectors: FloatArray
    starts: tuple[float, ...]
    ends: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """A video, and the window of it that is most similar."""

    sha256: str
    start: float
    end: float
    similarity: float


@dataclass(frozen=True, slots=True)
class Hits:
    best: list[Hit]
    windows: int  # that were compared


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where a video's windows are in the matrix."""

    first: int
    windows: Windows


class WindowIndex:
    def __init__(self, most: int) -> None:
        """most: windows that are kept."""
        self._most = most
        self._lock = threading.Lock()
        self._matrix: FloatArray = np.empty((0, 0), np.float32)
        self._used = 0  # rows, those of deleted videos included
        self._live = 0  # rows of videos that are there
        self._videos: dict[str, _Rows] = {}  # in the order of their rows

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._videos

    def __len__(self) -> int:
        """Windows."""
        return self._live

    def add(self, sha256: str, windows: Windows) -> bool:
        """Returns whether there was room. A video that is there already stays as it is."""
        with self._lock:
            count = len(windows.vectors)
            if sha256 in self._videos:
                return True
            if self._live + count > self._most:
                return False
            self._reserve(count, windows.vectors.shape[1])
            self._matrix[self._used : self._used + count] = windows.vectors
            # The matrix has the only copy of the vectors.
            self._videos[sha256] = _Rows(self._used, Windows(windows.vectors[:0], windows.starts, windows.ends))
            self._used += count
            self._live += count
            return True

    def keep_only(self, stored: Collection[str]) -> None:
        """Forget all videos but these."""
        with self._lock:
            gone = [sha256 for sha256 in self._videos if sha256 not in stored]
            for sha256 in gone:
                self._live -= len(self._videos.pop(sha256).windows.starts)
            if gone and 2 * self._live < self._used:
                self._compact()

    def forget(self, sha256: str) -> None:
        """Forget a video, and overwrite its rows: they would stay in memory until the next new matrix. A search that
        runs at this moment may miss it."""
        with self._lock:
            rows = self._videos.pop(sha256, None)
            if rows:
                count = len(rows.windows.starts)
                self._matrix[rows.first : rows.first + count] = 0
                self._live -= count

    def search(self, query: FloatArray, most: int, among: Collection[str]) -> Hits:
        """query: float32 [d] → the most similar videos of `among`, by their best window, the best first."""
        with self._lock:
            matrix = self._matrix
            chosen = [(sha256, rows) for sha256, rows in self._videos.items() if sha256 in among]
        if not chosen or most < 1:
            return Hits([], 0)
        firsts = np.array([rows.first for _, rows in chosen], dtype=np.int64)  # [V], ascending
        counts = np.array([len(rows.windows.starts) for _, rows in chosen], dtype=np.int64)  # [V]
        similarities = matrix[: firsts[-1] + counts[-1]] @ query.astype(np.float32)  # [rows]
        best = _best_of_each(similarities, firsts, counts)  # [V]
        found: list[Hit] = []
        for video in _highest(best, most):
            sha256, rows = chosen[video]
            at = int(similarities[rows.first : rows.first + counts[video]].argmax())
            found.append(Hit(sha256, rows.windows.starts[at], rows.windows.ends[at], float(best[video])))
        return Hits(found, int(counts.sum()))

    def _reserve(self, count: int, dim: int) -> None:
        """Room for as many more rows. A search that runs keeps the matrix that it has."""
        needed = self._used + count
        if needed > len(self._matrix):
            grown = np.empty((max(_FIRST_ROWS, 2 * len(self._matrix), needed), dim), np.float32)
            if self._used:  # the first matrix has no width
                grown[: self._used] = self._matrix[: self._used]
            self._matrix = grown

    def _compact(self) -> None:
        compact = np.empty((max(_FIRST_ROWS, self._live), self._matrix.shape[1]), np.float32)
        self._used, videos = 0, dict[str, _Rows]()
        for sha256, rows in self._videos.items():
            count = len(rows.windows.starts)
            compact[self._used : self._used + count] = self._matrix[rows.first : rows.first + count]
            videos[sha256] = _Rows(self._used, rows.windows)
            self._used += count
        self._matrix, self._videos = compact, videos


class WindowIndexes:
    """By project, model and spacing. Together they hold as many windows as `MODELS` full ones."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._indexes: OrderedDict[str, WindowIndex] = OrderedDict()

    def of(self, key: str) -> WindowIndex:
        """The index with this key, empty if it is new."""
        with self._lock:
            index = self._indexes.pop(key, None) or WindowIndex(self._most)
            self._indexes[key] = index
            while self._others() > (MODELS - 1) * self._most or len(self._indexes) > _MOST_INDEXES:
                self._indexes.popitem(last=False)
            return index

    def _others(self) -> int:
        """Windows of all indexes but the last one, which may become full."""
        return sum(len(index) for index in list(self._indexes.values())[:-1])

    def forget(self, sha256: str) -> None:
        """Drop the windows of a video, in the indexes of all projects: those that have it load it again."""
        for index in self._all():
            index.forget(sha256)

    def clear(self) -> None:
        """Drop all windows; a search loads them again."""
        with self._lock:
            self._indexes.clear()

    def _all(self) -> list[WindowIndex]:
        with self._lock:
            return list(self._indexes.values())


def _best_of_each(similarities: FloatArray, firsts: IntArray, counts: IntArray) -> FloatArray:
    """The highest similarity of each video [V]. Rows between two videos belong to none."""
    edges = np.empty(2 * len(firsts), dtype=np.int64)
    edges[::2], edges[1::2] = firsts, firsts + counts
    inside: BoolArray = edges < len(similarities)  # only the end of the last video is not
    best: FloatArray = np.maximum.reduceat(similarities, edges[inside])[::2]
    return best


def _highest(values: FloatArray, most: int) -> list[int]:
    """The places of the highest values, the highest first."""
    count = min(most, len(values))
    places = np.argpartition(-values, count - 1)[:count]
    return [int(place) for place in places[np.argsort(-values[places], kind="stable")]]
