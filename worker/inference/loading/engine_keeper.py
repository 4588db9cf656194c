"""The engines of the models on the shelf: what was found for this machine before, or else torch until it is found.

The search runs in a process of its own, at the lowest priority, one model after the other. Workers of one machine share
what is found, because it is kept in the data directory; a lock there lets one of them search at a time.
"""

from __future__ import annotations

import fcntl
import logging
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from core.errors import ModelUnavailable
from core.processes import python_module, return_free_memory
from core.records import EngineCandidate, EngineInfo
from core.settings.machine import usable_cores
from models.engines.choice import Choice, choice_file, model_folder, note_name, remembered, sweep
from models.engines.errors import EngineUnavailable
from models.engines.preparation import delete_graphs, open_engine
from models.engines.race import plan_at_once
from models.image.tower import ImageTower
from models.recognition.engine import LanePlan
from models.recognition.recognizer import Recognizer
from worker.inference.loading.engine_search import Order
from worker.inference.loading.opening import ModelFiles

log = logging.getLogger(__name__)

_PROGRAM = "worker.inference.loading.engine_search"


@dataclass(frozen=True, slots=True)
class _Wish:
    """A model that is served by torch while its engine is searched."""

    name: str
    recognizer: Recognizer


class EngineKeeper:
    def __init__(self, files: ModelFiles, renew: Callable[[str, Recognizer], None]) -> None:
        """renew: gets the name of a model and its recogniser with the engine that was found, in a thread of the
        keeper."""
        self._files = files
        self._settings = files.settings
        self._renew = renew
        self._wanted: set[str] = set()  # digests of the models whose engine is searched
        self._wishes: queue.SimpleQueue[_Wish | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._searching: subprocess.Popen[str] | None = None
        self._closed = False

    def equip(self, recognizer: Recognizer, name: str) -> Recognizer:
        """The recogniser with its engine. A search in the background follows if none was found before. Raises:
        ModelUnavailable if the engine that the settings name cannot be had."""
        wanted = self._settings.engine
        if wanted == "eager" or not isinstance(recognizer.image_tower, ImageTower):
            return recognizer
        if equipped := self._as_remembered(recognizer):
            with suppress(OSError):  # a full disk keeps no model from being served; the next start notes it
                note_name(self._places(recognizer)[0], name)
            return equipped
        wish = _Wish(name, recognizer)
        if wanted == "auto":
            if _can_be_faster(recognizer):
                self._search_later(wish)
            return recognizer
        try:
            self._search(wish)
        except EngineUnavailable as error:
            hint = "Set VIREO_ENGINE to auto, or install what is missing."
            raise ModelUnavailable(f"The engine {wanted} cannot serve {name}: {error}.", hint=hint) from error
        if equipped := self._as_remembered(recognizer):
            return equipped
        raise ModelUnavailable(f"The engine {wanted} cannot serve {name}.", hint="The worker's log has the reason.")

    def sweep(self) -> None:
        """Delete the graphs of deleted versions. Raises: StorageUnavailable, OSError."""
        sweep(self._settings.data_dir, self._files.exist)

    def plan_of(self, recognizer: Recognizer) -> LanePlan:
        """How its forward passes share the device."""
        if recognizer.engine:
            return recognizer.engine.plan
        return plan_at_once(recognizer.device, self._settings.batch_frames, usable_cores())

    def describe(self, recognizer: Recognizer) -> EngineInfo:
        plan, engine = self.plan_of(recognizer), recognizer.engine
        choice = remembered(self._places(recognizer)[1])
        return EngineInfo(
            name=engine.name if engine else "eager",
            precision=recognizer.precision,
            lanes=plan.lanes,
            threads=plan.threads,
            batch=plan.batch,
            searching=recognizer.digest in self._wanted,
            candidates=[EngineCandidate(**vars(candidate)) for candidate in choice.candidates] if choice else [],
        )

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._searching:
                self._searching.kill()
            thread = self._thread
        self._wishes.put(None)
        if thread:
            thread.join()

    def _search_later(self, wish: _Wish) -> None:
        with self._lock:
            if self._closed:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="engines", daemon=True)
                self._thread.start()
            self._wanted.add(wish.recognizer.digest)
        self._wishes.put(wish)

    def _run(self) -> None:
        while wish := self._wishes.get():
            try:
                self._search(wish)
                if not self._closed and (equipped := self._as_remembered(wish.recognizer)):
                    self._renew(wish.name, equipped)
            except EngineUnavailable as error:
                log.info("%s stays with torch: %s", wish.name, error)
            except Exception:
                log.exception("the search for an engine of %s failed; it stays with torch", wish.name)
            self._wanted.discard(wish.recognizer.digest)
            del wish  # it holds the model's weights
            return_free_memory()

    def _as_remembered(self, recognizer: Recognizer) -> Recognizer | None:
        """With the engine that was found on this machine; None if none was, or if it cannot be opened any more."""
        folder, file = self._places(recognizer)
        choice = remembered(file)
        if choice is None:
            return None
        try:
            return _equipped(recognizer, folder, choice)
        except (EngineUnavailable, RuntimeError, OSError) as error:
            log.warning("the engine %s of %s cannot be opened and is searched again: %s", choice.engine, file, error)
            file.unlink(missing_ok=True)
            delete_graphs(folder)  # one of them may be damaged
            return None

    def _places(self, recognizer: Recognizer) -> tuple[Path, Path]:
        folder = model_folder(self._settings.data_dir, recognizer)
        return folder, choice_file(folder, recognizer, self._settings.engine, usable_cores())

    def _search(self, wish: _Wish) -> None:
        """Raises: EngineUnavailable."""
        folder, file = self._places(wish.recognizer)
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if remembered(file) is None:  # another worker may have found it meanwhile
                self._search_in_child(Order(name=wish.name, settings=self._settings))

    def _search_in_child(self, order: Order) -> None:
        """Raises: EngineUnavailable."""
        with self._lock:
            if self._closed:
                raise EngineUnavailable("the worker is shutting down")
            child = subprocess.Popen(
                python_module(_PROGRAM), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
            )
            self._searching = child
        with child:
            said = _follow(child, order)
        with self._lock:
            self._searching = None
        if child.returncode:
            raise EngineUnavailable(said or f"the search ended with status {child.returncode}")


def _follow(child: subprocess.Popen[str], order: Order) -> str:
    """→ the last sentence of the search."""
    assert child.stdin
    assert child.stdout
    said = ""
    with suppress(BrokenPipeError):  # it ended early; its status says so
        child.stdin.write(order.model_dump_json())  # not as an argument: the settings hold passwords
        child.stdin.close()
    for line in child.stdout:
        said = line.strip()
        log.info("%s: %s", order.name, said)
    return said


def _equipped(recognizer: Recognizer, folder: Path, choice: Choice) -> Recognizer:
    """Raises: EngineUnavailable, RuntimeError."""
    engine = open_engine(recognizer, folder, choice.engine, choice.plan)
    engine.warm_up()
    return replace(recognizer, engine=engine, nbytes=recognizer.nbytes + engine.nbytes)


def _can_be_faster(recognizer: Recognizer) -> bool:
    """Whether this machine has an engine beside torch as it is."""
    return recognizer.device.type == "cuda" or find_spec("openvino") is not None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
