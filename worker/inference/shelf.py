"""The models in this worker's memory: loaded at the first request for them; the least recently used is unloaded first.

A name is that of a zoo model or of a version in the registry. The shelf looks once into the registry each time, so a
version is served as soon as it is published, and no longer once it is deleted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import ModelUnavailable, UnknownModel
from core.prometheus import MODEL_INFO
from core.records import ModelRef
from core.registry import Registry
from core.settings import Settings
from models.files.bases import resolve_auto
from models.files.loader import load_model, load_version
from models.profiles import zoo
from models.recognition.recognizer import Recognizer
from models.weights.errors import WeightsUnavailable
from worker.inference.batcher import Batcher

log = logging.getLogger(__name__)

REFUSE_SECONDS = 30.0  # after a model failed to load, requests for it fail at once for this long

FALLBACK = "lite"  # what `auto` means if CLIP cannot be loaded
LITE_NOTE = (
    "lite is a small offline model: useful for everyday things and actions, often wrong, far less accurate than CLIP. "
    "To use CLIP, let this machine reach the model hub once, or put a weights file in the data directory "
    "(weights/clip-b16.safetensors)."
)


@dataclass(frozen=True, slots=True)
class Loaded:
    recognizer: Recognizer
    batcher: Batcher
    ref: ModelRef


class Shelf:
    def __init__(self, settings: Settings, registry: Registry, progress: Callable[[str], None] = log.info) -> None:
        """`progress` gets a line of text about what is being loaded."""
        self._settings = settings
        self._registry = registry
        self._progress = progress
        self._lock = threading.Lock()
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}
        self._failed: dict[str, tuple[float, ModelUnavailable]] = {}
        self._default: tuple[str, str | None] | None = None

    def default(self) -> tuple[str, str | None]:
        """The model for requests that name none, and why it was chosen (None if it is configured)."""
        if self._default is None:
            name, reason = self._settings.model, None
            if name == "auto":
                name, reason = resolve_auto(self._settings.data_dir, self._settings.weights)
            self._default = (name, reason)
        return self._default

    def get(self, name: str | None) -> Loaded:
        """Raises: UnknownModel, ModelUnavailable."""
        default, _ = self.default()
        try:
            return self._get(name or default)
        except ModelUnavailable as error:
            if name or self._settings.model != "auto" or default == FALLBACK:
                raise
            self._default = (FALLBACK, f"{default} could not be loaded ({error.message})")
            return self._get(FALLBACK)

    def _exact(self, name: str) -> str:
        """A zoo name unchanged; `name`, `name@alias` and `name:3` of the registry as `name:3`. Raises: UnknownModel."""
        if name in zoo.model_names(self._settings.data_dir):
            return name
        try:
            return str(self._registry.resolve(name))
        except UnknownModel as error:
            if nearest := zoo.nearest_names(name, self._settings.data_dir):
                error.details["nearest"] = nearest
            raise

    def _get(self, name: str) -> Loaded:
        name = self._exact(name)
        with self._lock:
            loading = self._loading.setdefault(name, threading.Lock())
        with loading:  # one load per model; a long download does not delay requests for other models
            with self._lock:
                if loaded := self._loaded.get(name):
                    self._loaded.move_to_end(name)
                    return loaded
                self._raise_if_just_failed(name)
            try:
                return self._load(name)
            finally:
                self._progress(self._summary())

    def _summary(self) -> str:
        with self._lock:
            names = ", ".join(self._loaded)
        return f"{names or 'no model'} {'are' if len(self._loaded) > 1 else 'is'} loaded"

    def close(self) -> None:
        with self._lock:
            while self._loaded:
                self._unload(next(iter(self._loaded)))

    def _raise_if_just_failed(self, name: str) -> None:
        when, error = self._failed.get(name, (float("-inf"), None))
        if error and time.monotonic() - when < REFUSE_SECONDS:
            raise error

    def _load(self, name: str) -> Loaded:
        default, reason = self.default()
        try:
            recognizer = self._open(name)
        except WeightsUnavailable as error:
            failure = ModelUnavailable(error.message, hint=error.hint, model=name)
            self._failed[name] = (time.monotonic(), failure)
            raise failure from error
        with self._lock:
            self._make_room(recognizer.nbytes)
            loaded = self._loaded[name] = self._start_serving(recognizer, name, reason if name == default else None)
        return loaded

    def _open(self, name: str) -> Recognizer:
        """Raises: WeightsUnavailable, UnknownModel."""

        def progress(what: str, share: float) -> None:
            self._progress(f"{what} ({share:.0%})")

        data_dir, device, precision = self._settings.data_dir, self._settings.device, self._settings.precision
        if name not in zoo.model_names(data_dir):
            with self._registry.directory(self._registry.resolve(name)) as files:
                return load_version(files, data_dir=data_dir, device=device, precision=precision, progress=progress)
        return load_model(
            name,
            data_dir=data_dir,
            weights_file=self._weights_for(name),
            device=device,
            precision=precision,
            progress=progress,
        )

    def _make_room(self, nbytes: int) -> None:
        """Unload the least recently used models until `nbytes` fit. One model is always served, whatever its size."""
        while self._loaded and self._held() + nbytes > self._settings.model_memory:
            self._unload(next(iter(self._loaded)))

    def _held(self) -> int:
        return sum(loaded.recognizer.nbytes for loaded in self._loaded.values())

    def _weights_for(self, name: str) -> Path | None:
        return self._settings.weights if name == self.default()[0] else None

    def _start_serving(self, recognizer: Recognizer, name: str, reason: str | None) -> Loaded:
        ref = ModelRef(
            name=name,
            digest=recognizer.digest,
            reason=reason,
            note=LITE_NOTE if name == "lite" else None,
        )
        batcher = Batcher(
            recognizer.encode_frames,
            max_frames=self._settings.batch_frames,
            max_wait=self._settings.batch_wait_ms / 1000,
        )
        MODEL_INFO.labels(*self._labels(name, recognizer)).set(1)
        log.info("%s is loaded on %s (%s)", ref.name, recognizer.device, recognizer.precision)
        return Loaded(recognizer, batcher, ref)

    def _unload(self, name: str) -> None:
        loaded = self._loaded.pop(name)
        loaded.batcher.close()
        MODEL_INFO.labels(*self._labels(name, loaded.recognizer)).set(0)

    @staticmethod
    def _labels(name: str, recognizer: Recognizer) -> tuple[str, str, str, str]:
        return name, recognizer.digest, str(recognizer.device), recognizer.precision
