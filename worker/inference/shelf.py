"""The models in this worker's memory: loaded at the first request for them; the least recently used is unloaded first.

A name is that of a zoo model or of a version in the registry. The shelf looks once into the registry each time, so a
version is served as soon as it is published, and no longer once it is deleted. Versions of all projects share the
memory; a project finds only its own, which stand on the shelf as `project/name:3`.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch

from core.errors import ModelUnavailable, UnknownModel
from core.projects import DEFAULT_PROJECT, prefix_of
from core.prometheus import MODEL_INFO
from core.records import ModelRef
from core.registry import WEIGHTS, Registry
from core.settings import Settings
from models.files.bases import open_base
from models.files.loader import load_model, load_version
from models.files.versions import open_version
from models.profiles import zoo
from models.recognition.base import Base
from models.recognition.recognizer import Recognizer
from models.weights.errors import WeightsUnavailable
from models.weights.progress import LoadProgress
from models.weights.states import find_local_weights
from worker.inference.batching.device import is_out_of_memory, out_of_memory
from worker.inference.batching.towers import Towers
from worker.inference.caches.single_flight import SingleFlight
from worker.inference.default_model import DefaultModel
from worker.jobs.cancellation import CancelToken

log = logging.getLogger(__name__)

REFUSE_SECONDS = 30.0  # after a model failed to load, requests for it fail at once for this long
_HURRIED_CLOSE = 5.0  # seconds that a forward pass without memory waits for the towers of other models to end

LITE_NOTE = (
    "lite is a small offline model: useful for everyday things and actions, often wrong, far less accurate than CLIP. "
    "To use CLIP, let this machine reach the model hub once, or put a weights file in the data directory "
    "(weights/clip-b16.safetensors)."
)

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Loaded:
    recognizer: Recognizer
    towers: Towers
    ref: ModelRef


class Shelf:
    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        default: DefaultModel,
        progress: Callable[[str], None] = log.info,
    ) -> None:
        """`progress` gets a line of text about what is being loaded."""
        self._settings = settings
        self._registry = registry
        self._prefix = prefix_of(DEFAULT_PROJECT)
        self._house = self  # as the default project sees it, whose registry may have the default model
        self.default = default
        self._progress = progress
        self._lock = threading.Lock()
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._reserved: dict[str, int] = {}  # bytes of the models that are being loaded
        self._sizes: dict[str, int] = {}  # bytes of each model that has been loaded, as measured
        self._loads: SingleFlight[str, Loaded] = SingleFlight(
            remember=(ModelUnavailable,), seconds=REFUSE_SECONDS, abandon=False
        )

    def of(self, project: str) -> Shelf:
        """The shelf as a project sees it: the models of the zoo, and the versions in its own registry."""
        view = copy(self)
        view._registry = self._registry.of(project)
        view._prefix = prefix_of(project)
        return view

    def get(self, name: str | None, token: CancelToken | None = None) -> Loaded:
        """`name`: None for the default model. A cancelled caller does not stop a load that has begun. Raises:
        UnknownModel, ModelUnavailable, Cancelled."""
        token = token or CancelToken()
        if name is not None:
            return self._with_reason(self._get(name, token))
        choice = self.default.current()
        try:
            return self._with_reason(self._house._get(choice.name, token))
        except ModelUnavailable as error:
            fallback = self.default.fall_back(choice, error.message)
            if fallback is None:
                raise
            return self._with_reason(self._house._get(fallback.name, token))

    def get_beside(self, name: str) -> Loaded | None:
        """A model that may cost the others nothing: None if it does not fit beside them. It is unloaded first. Raises:
        UnknownModel, ModelUnavailable."""
        name = self._exact(name)
        if (loaded := self._on_shelf(name, used=False)) is None:
            nbytes = self._sizes.get(name) or self._estimate(name)
            with self._lock:
                if self._held() + nbytes > self._settings.model_memory:
                    return None
            loaded = self._get_exact(name, CancelToken())
            with self._lock:
                if name in self._loaded:
                    self._loaded.move_to_end(name, last=False)
        return loaded

    @property
    def devices(self) -> set[torch.device]:
        """Where the loaded models are."""
        with self._lock:
            return {torch.device(loaded.recognizer.device) for loaded in self._loaded.values()}

    def close(self) -> None:
        with self._lock:
            everything = [self._take_off(name) for name in list(self._loaded)]
        for loaded in everything:
            self._put_away(loaded)

    def _exact(self, name: str) -> str:
        """What the model is called on the shelf. A zoo name is unchanged; `name`, `name@alias` and `name:3` of the
        registry become `name:3`, with the project before it. Raises: UnknownModel."""
        if name in zoo.model_names(self._settings.data_dir):
            return name
        try:
            return f"{self._prefix}{self._registry.resolve(name)}"
        except UnknownModel as error:
            if nearest := zoo.nearest_names(name, self._settings.data_dir):
                error.details["nearest"] = nearest
            raise

    def _get(self, name: str, token: CancelToken) -> Loaded:
        return self._get_exact(self._exact(name), token)

    def _get_exact(self, name: str, token: CancelToken) -> Loaded:
        # One load per model; a long download does not delay requests for other models.
        return self._on_shelf(name) or self._loads.value(
            name, token, lambda _: self._on_shelf(name) or self._load(name)
        )

    def _summary(self) -> str:
        """Without the names of versions, because every project reads it."""
        zoo_names = zoo.model_names(self._settings.data_dir)
        with self._lock:
            loaded = list(self._loaded)
        shown = [name for name in loaded if name in zoo_names]
        if tuned := len(loaded) - len(shown):
            shown.append(f"{tuned} fine-tuned model{'s' if tuned > 1 else ''}")
        return f"{', '.join(shown) or 'no model'} {'are' if len(loaded) > 1 else 'is'} loaded"

    def _on_shelf(self, name: str, *, used: bool = True) -> Loaded | None:
        with self._lock:
            loaded = self._loaded.get(name)
            if loaded and used:
                self._loaded.move_to_end(name)
            return loaded

    def _with_reason(self, loaded: Loaded) -> Loaded:
        """With the reason why the model is the default, if it is."""
        choice = self.default.known
        reason = choice.reason if choice and choice.name == loaded.ref.name else None
        if reason == loaded.ref.reason:
            return loaded
        return replace(loaded, ref=loaded.ref.model_copy(update={"reason": reason}))

    def _load(self, name: str) -> Loaded:
        """Raises: ModelUnavailable, UnknownModel."""
        try:
            return self._load_with_room(name)
        finally:
            with self._lock:
                self._reserved.pop(name, None)
            self._progress(self._summary())

    def _load_with_room(self, name: str) -> Loaded:
        self._make_room(name, self._sizes.get(name) or self._estimate(name))
        try:
            recognizer = self._open_with_room(name)
        except WeightsUnavailable as error:
            raise ModelUnavailable(error.message, hint=error.hint, model=_named(name)) from error
        self._sizes[name] = recognizer.nbytes
        loaded = self._start_serving(recognizer, name)
        self._make_room(name, recognizer.nbytes, loaded)
        return loaded

    def _open_with_room(self, name: str) -> Recognizer:
        """Raises: WeightsUnavailable, UnknownModel, ModelUnavailable if the model does not even fit alone."""
        try:
            return self._open(name)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            log.warning("no memory for %s: the other models are unloaded", name)
        self._drop_others(name)  # outside of `except`, where the error's frames would keep half a model in memory
        try:
            return self._open(name)
        except Exception as error:
            if is_out_of_memory(error):
                raise out_of_memory(_named(name)) from error
            raise

    def _open(self, name: str) -> Recognizer:
        """Raises: WeightsUnavailable, UnknownModel."""

        def progress(what: str, share: float) -> None:
            self._progress(f"{what} ({share:.0%})")

        data_dir, device, precision = self._settings.data_dir, self._settings.device, self._settings.precision
        if name not in zoo.model_names(data_dir):
            with self._registry.directory(self._registry.resolve(_named(name))) as files:
                return load_version(
                    files,
                    data_dir=data_dir,
                    device=device,
                    precision=precision,
                    progress=lambda _, share: progress("loading a fine-tuned model", share),
                    find_base=lambda base: self._open_base(base, progress),
                )
        return load_model(
            name,
            data_dir=data_dir,
            weights_file=self._weights_for(name),
            device=device,
            precision=precision,
            progress=progress,
        )

    def _open_base(self, name: str, progress: LoadProgress) -> Base:
        """What a version of prompts refers to. Raises: WeightsUnavailable, UnknownModel."""
        data_dir = self._settings.data_dir
        if name in zoo.model_names(data_dir):
            return open_base(name, data_dir=data_dir, weights_file=self._weights_for(name), progress=progress)
        with self._registry.directory(self._registry.resolve(name)) as files:
            return open_version(
                files, data_dir=data_dir, progress=lambda _, share: progress("loading a fine-tuned model", share)
            )

    def _estimate(self, name: str) -> int:
        """Bytes of a model that was never loaded here: about those of its weights file. Raises: UnknownModel."""
        data_dir = self._settings.data_dir
        if name not in zoo.model_names(data_dir):
            with self._registry.file(self._registry.resolve(_named(name)), WEIGHTS) as weights:
                return weights.stat().st_size
        file = self._weights_for(name) or find_local_weights(name, data_dir)
        if file and file.is_file():
            return file.stat().st_size
        return zoo.ENTRIES[name].megabytes << 20 if name in zoo.ENTRIES else 0

    def _weights_for(self, name: str) -> Path | None:
        return self._settings.weights if self.default.weights_for(name) else None

    def _make_room(self, name: str, nbytes: int, loaded: Loaded | None = None) -> None:
        """Unload the least recently used models until `nbytes` fit, and keep the room for this model, or put it there
        if it is loaded. One model is always served, whatever its size."""
        unloaded: list[Loaded] = []
        with self._lock:
            self._reserved.pop(name, None)
            while self._loaded and self._held() + nbytes > self._settings.model_memory:
                unloaded.append(self._take_off(next(iter(self._loaded))))
            if loaded:
                self._loaded[name] = loaded
            else:
                self._reserved[name] = nbytes
        for other in unloaded:
            self._put_away(other)

    def _held(self) -> int:
        loaded = sum(loaded.recognizer.nbytes for loaded in self._loaded.values())
        return loaded + sum(self._reserved.values())

    def _drop_others(self, name: str) -> None:
        with self._lock:
            others = [self._take_off(other) for other in list(self._loaded) if other != name]
        for loaded in others:
            self._put_away(loaded, _HURRIED_CLOSE)
        others.clear()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _retried(self, name: str, forward: Callable[P, R]) -> Callable[P, R]:
        """`forward`, which is tried once more without the other models if there is no memory for it. The result raises:
        ModelUnavailable, and what `forward` raises."""

        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return forward(*args, **kwargs)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                log.warning("no memory for a forward pass of %s: the other models are unloaded", name)
            self._drop_others(name)
            try:
                return forward(*args, **kwargs)
            except Exception as error:
                if is_out_of_memory(error):
                    raise out_of_memory(_named(name)) from error
                raise

        return run

    def _start_serving(self, recognizer: Recognizer, name: str) -> Loaded:
        ref = ModelRef(name=_named(name), digest=recognizer.digest, note=LITE_NOTE if name == "lite" else None)
        towers = Towers(
            self._retried(name, recognizer.encode_frames),
            self._retried(name, recognizer.encode_texts),
            self._settings,
            self._retried(name, recognizer.attend) if recognizer.attention else None,
        )
        MODEL_INFO.labels(*self._labels(name, recognizer)).set(1)
        log.info("%s is loaded on %s (%s)", name, recognizer.device, recognizer.precision)
        return Loaded(recognizer, towers, ref)

    def _take_off(self, name: str) -> Loaded:
        """The caller holds the lock, and puts the model away once it has let go of it."""
        loaded = self._loaded.pop(name)
        MODEL_INFO.labels(*self._labels(name, loaded.recognizer)).set(0)
        return loaded

    def _put_away(self, loaded: Loaded, timeout: float = 30.0) -> None:
        """Not under the lock: a forward pass may take seconds to end."""
        loaded.towers.close(timeout)

    @staticmethod
    def _labels(name: str, recognizer: Recognizer) -> tuple[str, str, str, str]:
        return name, recognizer.digest, str(recognizer.device), recognizer.precision


def _named(name: str) -> str:
    """The name of a model on the shelf as its project knows it."""
    return name.rpartition("/")[2]
