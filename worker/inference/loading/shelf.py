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
from typing import ParamSpec, TypeVar

import torch

from core.errors import ModelUnavailable, UnknownModel
from core.processes import return_free_memory
from core.projects import DEFAULT_PROJECT, prefix_of
from core.prometheus import MODEL_INFO
from core.records import EngineInfo, ModelRef
from core.registry import Registry
from core.settings import Settings
from models.profiles import zoo
from models.recognition.recognizer import Recognizer
from models.weights.errors import WeightsUnavailable
from worker.inference.batching.device import is_out_of_memory, out_of_memory
from worker.inference.batching.towers import Towers
from worker.inference.caches.single_flight import SingleFlight
from worker.inference.loading.default_model import DefaultModel
from worker.inference.loading.engine_keeper import EngineKeeper
from worker.inference.loading.opening import ModelFiles
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
        self._files = ModelFiles(settings, registry, progress)
        self._engines = EngineKeeper(self._files, self._renew)
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
            nbytes = self._sizes.get(name) or self._files.estimate(name)
            with self._lock:
                if self._held() + nbytes > self._settings.model_memory:
                    return None
            loaded = self._get_exact(name, CancelToken())
            with self._lock:
                if name in self._loaded:
                    self._loaded.move_to_end(name, last=False)
        return loaded

    def peek(self, name: str) -> Loaded | None:
        """A model of the zoo or of the default project if it is loaded. That is no use of it."""
        return self._house._on_shelf(name, used=False)

    def engine_of(self, loaded: Loaded) -> EngineInfo:
        return self._engines.describe(loaded.recognizer)

    def sweep_engines(self) -> None:
        """Delete the graphs of deleted versions. Raises: StorageUnavailable, OSError."""
        self._engines.sweep()

    @property
    def devices(self) -> set[torch.device]:
        """Where the loaded models are."""
        with self._lock:
            return {torch.device(loaded.recognizer.device) for loaded in self._loaded.values()}

    def close(self) -> None:
        self._engines.close()
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
            return_free_memory()  # of reading the weights
            self._progress(self._summary())

    def _load_with_room(self, name: str) -> Loaded:
        self._make_room(name, self._sizes.get(name) or self._files.estimate(name))
        try:
            recognizer = self._open_with_room(name)
        except WeightsUnavailable as error:
            raise ModelUnavailable(error.message, hint=error.hint, model=_named(name)) from error
        loaded = self._start_serving(self._engines.equip(recognizer, name), name)
        self._sizes[name] = loaded.recognizer.nbytes
        self._make_room(name, loaded.recognizer.nbytes, loaded)
        return loaded

    def _open_with_room(self, name: str) -> Recognizer:
        """Raises: WeightsUnavailable, UnknownModel, ModelUnavailable if the model does not even fit alone."""
        try:
            return self._files.open(name)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            log.warning("no memory for %s: the other models are unloaded", name)
        self._drop_others(name)  # outside of `except`, where the error's frames would keep half a model in memory
        try:
            return self._files.open(name)
        except Exception as error:
            if is_out_of_memory(error):
                raise out_of_memory(_named(name)) from error
            raise

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

    def _renew(self, name: str, recognizer: Recognizer) -> None:
        """Serve a loaded model with another engine. Requests that have taken the earlier one end with it."""
        renewed = self._start_serving(recognizer, name)
        with self._lock:
            earlier = self._take_off(name) if name in self._loaded else None
            if earlier:
                self._loaded[name] = renewed
        self._put_away(earlier or renewed)  # it was unloaded meanwhile

    def _start_serving(self, recognizer: Recognizer, name: str) -> Loaded:
        ref = ModelRef(name=_named(name), digest=recognizer.digest, note=LITE_NOTE if name == "lite" else None)
        towers = Towers(
            self._retried(name, recognizer.encode_frames),
            self._retried(name, recognizer.encode_texts),
            self._engines.plan_of(recognizer),
            self._settings,
            self._retried(name, recognizer.attend) if recognizer.attention else None,
            on_cpu=recognizer.device.type == "cpu",
        )
        MODEL_INFO.labels(*self._labels(name, recognizer)).set(1)
        engine = recognizer.engine.name if recognizer.engine else "eager"
        log.info("%s is loaded on %s (%s, %s)", name, recognizer.device, engine, recognizer.precision)
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
