"""Calibrations in the store. There is no index that could disagree with it.

    calibrations/<digest of the model>/<scope>/<version>/calibration.json, reliability.png
    calibrations/<digest of the model>/<scope>/taken/<version>      numbers that are never given again

`scope` is `any`, or the digest of a label set's labels. The newest version of a scope is used. A worker that serves
looks for it with every question; with a remote store, once in `NAMES_SECONDS`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from core.calibration.record import Calibration
from core.errors import StorageUnavailable
from core.questions import Label
from core.registry import NAMES_SECONDS
from core.storage import Store

log = logging.getLogger(__name__)

RECORD: Final = "calibration.json"
DIAGRAM: Final = "reliability.png"
ANY: Final = "any"

_ROOT: Final = "calibrations"
_TAKEN: Final = "taken"
_KEY = re.compile(rf"{_ROOT}/[^/]+/[^/]+/[0-9]+/{re.escape(RECORD)}")
_MOST_KNOWN = 1000  # scopes remembered at the same time


def scope_of(labels: Sequence[Label], templates: Sequence[str] | None, *, normalise: bool) -> str:
    """The digest of a set of labels, in any order, as the text encoder reads them."""
    content = [sorted([label.name, *(label.prompts or ())] for label in labels), list(templates or ()), normalise]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def calibration_id(job_id: str) -> str:
    return f"cal_{job_id.removeprefix('job_')}"


class Calibrations:
    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        """Every method raises StorageUnavailable while the store cannot be reached."""
        self._store = store
        self._clock = clock
        self._memory = NAMES_SECONDS if store.remote else 0.0
        self._listed: dict[str, tuple[float, list[str]]] = {}  # children of a key, and until when this is believed
        self._read: dict[str, Calibration] = {}  # a version never changes

    def newest(self, digest: str, labels: Callable[[], str]) -> Calibration | None:
        """The calibration that answers of this model use. labels: gives the scope of the question's labels; it is only
        called if the model has a calibration for some label set. While the store cannot be reached, what was known
        before is used."""
        scopes = self._children(f"{_ROOT}/{digest}")
        if not scopes:
            return None
        if scopes != [ANY] and (own := labels()) in scopes and (found := self._newest(digest, own)):
            return found
        return self._newest(digest, ANY) if ANY in scopes else None

    def all(self) -> list[Calibration]:
        """The newest first."""
        texts = [self._store.read_text(key) for key in self._store.find(_ROOT) if _KEY.fullmatch(key)]
        found = [Calibration.model_validate_json(text) for text in texts if text]  # None: it has been deleted meanwhile
        return sorted(found, key=lambda each: (each.created_at, each.id), reverse=True)

    def publish(self, directory: Path, calibration: Calibration) -> Calibration:
        """Make a finished directory visible as the next version of its scope. One that an earlier attempt of the same
        job has published stays."""
        for each in self.all():
            if each.id == calibration.id:
                return each
        numbered = calibration.model_copy(update={"version": self._claim_number(calibration)})
        with self._store.stage_tree() as staged:
            (staged / RECORD).write_text(numbered.model_dump_json(), encoding="utf-8")
            (staged / DIAGRAM).write_bytes((directory / DIAGRAM).read_bytes())
            self._store.publish_tree(staged, _key(numbered), RECORD)
        return numbered

    def _claim_number(self, calibration: Calibration) -> int:
        """A number that no other calibration of this scope has or ever had: a version never changes."""
        taken = f"{_ROOT}/{calibration.digest}/{calibration.scope}/{_TAKEN}"
        number = max((int(name) for name in self._store.children(taken)), default=0) + 1
        while not self._store.create_text(f"{taken}/{number}", calibration.id):
            number += 1
        return number

    def diagram(self, calibration: Calibration) -> AbstractContextManager[Path]:
        """The reliability diagram on this machine. Raises: FileNotFoundError."""
        return self._store.local_file(f"{_key(calibration)}/{DIAGRAM}")

    def delete(self, calibration: Calibration) -> None:
        self._store.delete_tree(_key(calibration), RECORD)

    def _newest(self, digest: str, scope: str) -> Calibration | None:
        key = f"{_ROOT}/{digest}/{scope}"
        for number in sorted((int(name) for name in self._children(key) if name.isdigit()), reverse=True):
            path = f"{key}/{number}/{RECORD}"
            found = self._read.get(path) if self._memory else None
            if found is None and (text := self._store.read_text(path)) is not None:
                found = Calibration.model_validate_json(text)
                if len(self._read) >= _MOST_KNOWN:
                    self._read.clear()
                self._read[path] = found
            if found is not None:
                return found
        return None

    def _children(self, key: str) -> list[str]:
        until, names = self._listed.get(key, (0.0, []))
        if self._clock() >= until:
            try:
                names = self._store.children(key)
            except StorageUnavailable:
                if key not in self._listed:
                    raise
                log.warning("the calibrations cannot be listed; what was there before is used")
            if len(self._listed) >= _MOST_KNOWN:
                self._listed.clear()
            self._listed[key] = (self._clock() + self._memory, names)
        return names


def _key(calibration: Calibration) -> str:
    return f"{_ROOT}/{calibration.digest}/{calibration.scope}/{calibration.version}"
