"""Finding the engine that serves a model on this machine: export, calibrate, check, race, and write down the result.

It takes from seconds to minutes, once per model and machine, in a process of its own (worker/inference/loading).
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch

from core.vocabulary import EngineChoice, EngineName
from models.engines.agreement import CHECKED_CLIPS, Agreement, agreement, question_of
from models.engines.choice import FP32_GRAPH, INT8_GRAPH, Candidate, Choice
from models.engines.clips_at_hand import clips_at_hand
from models.engines.errors import EngineUnavailable
from models.engines.graph import clip_of, export_graph, tower_of
from models.engines.openvino_engine import OpenVinoEngine, graph_precision
from models.engines.quantisation import has_attention, quantise
from models.engines.race import best_plan, entry_cost, plan_at_once
from models.engines.torch_engines import CompiledEngine, EagerEngine
from models.frames.arrays import UInt8Array
from models.recognition.engine import Engine, LanePlan
from models.recognition.recognizer import Recognizer

_CALIBRATION_CLIPS = 48
_COMPILED = "compiled"  # beside the folders of the models: torch names what it keeps there by what it was made from
_CHECKED_FRAMES = 2  # of a clip; a tower that mixes time needs whole clips

Opener = Callable[[LanePlan], Engine]


@dataclass(frozen=True, slots=True)
class Preparation:
    """folder: where graphs are kept; batch_frames: most frames in one forward pass; cores: that may be used; say: gets
    a sentence about each step; clips: real ones to check engines on, uint8 [T, S, S, 3] each, instead of those at
    hand."""

    recognizer: Recognizer
    exact: Callable[[], Recognizer]
    """The same model in fp32 on the CPU, from which graphs are made."""

    folder: Path
    wanted: EngineChoice
    batch_frames: int
    cores: int
    say: Callable[[str], object]
    clips: tuple[UInt8Array, ...] = ()

    def run(self) -> Choice:
        """Raises: EngineUnavailable if the engine that was asked for cannot be had."""
        self.folder.mkdir(parents=True, exist_ok=True)
        found = [self._examined(name) for name in self._names()]
        able = [(candidate, opener) for candidate, opener in found if opener and candidate.problem is None]
        if not able:
            raise EngineUnavailable(next(candidate.problem or "" for candidate, _ in found))
        winner, opener = min(able, key=lambda entry: entry[0].ms_per_frame or 0.0)
        assert opener is not None
        size, clip, device = self.recognizer.profile.size, clip_of(self.recognizer), self.recognizer.device
        self.say(f"measuring how {winner.engine} uses this machine best")
        plan = best_plan(opener, size, clip, self.batch_frames, device, self.cores)
        return Choice(
            model=self.recognizer.name,
            engine=winner.engine,
            precision=winner.precision,
            lanes=plan.lanes,
            threads=plan.threads,
            batch=plan.batch,
            candidates=tuple(candidate for candidate, _ in found),
        )

    def _names(self) -> tuple[EngineName, ...]:
        if self.wanted != "auto":
            return (self.wanted,)
        # torch.compile takes a minute per model on a CPU, and OpenVINO is faster there
        return (
            ("eager", "compiled") if self.recognizer.device.type == "cuda" else ("eager", "openvino", "openvino-int8")
        )

    def _examined(self, name: EngineName) -> tuple[Candidate, Opener | None]:
        """What it costs, or why it cannot be used."""
        self.say(f"looking at the engine {name}")
        precision = graph_precision(name, self.recognizer.precision)
        try:
            checked = self._checked() if name == "openvino-int8" else None
            opener = self._opener(name)
            found = entry_cost(opener, self.recognizer.profile.size, clip_of(self.recognizer))
        except (EngineUnavailable, RuntimeError) as error:
            return Candidate(engine=name, precision=precision, problem=str(error)[:300]), None
        problem = None
        if checked and not checked.holds and self.wanted == "auto":
            problem = f"it does not answer as the model does: {checked}"
        candidate = Candidate(
            engine=name,
            precision=precision,
            ms_per_frame=round(found.cpu * 1000, 2),
            agreement=str(checked) if checked else None,
            problem=problem,
        )
        return candidate, opener

    def _opener(self, name: EngineName) -> Opener:
        """Raises: EngineUnavailable."""
        if name in ("openvino", "openvino-int8"):
            self._graph(name)
        return partial(open_engine, self.recognizer, self.folder, name)

    def _graph(self, name: EngineName) -> Path:
        """Raises: EngineUnavailable."""
        if self.recognizer.device.type != "cpu":
            raise EngineUnavailable("OpenVINO serves on CPUs only")
        graph, quantised = self.folder / FP32_GRAPH, self.folder / INT8_GRAPH
        if not graph.is_file():
            with _whole(self.folder) as staged:
                export_graph(self.exact(), staged / FP32_GRAPH)
        if name == "openvino-int8" and not quantised.is_file():
            self.say("calibrating int8")
            recognizer = self.recognizer
            frames = clips_at_hand(_CALIBRATION_CLIPS, clip_of(recognizer), recognizer.profile.size, seed=0)
            with _whole(self.folder) as staged:
                attends = has_attention(tower_of(recognizer))
                quantise(graph, frames, clip_of(recognizer), staged / INT8_GRAPH, attends=attends)
        return quantised if name == "openvino-int8" else graph

    def _checked(self) -> Agreement:
        """Raises: EngineUnavailable."""
        graphs: dict[EngineName, Path] = {name: self._graph(name) for name in ("openvino", "openvino-int8")}
        self.say("comparing the answers of int8 with those of fp32")
        exact = self.exact()
        plan = plan_at_once(exact.device, self.batch_frames, self.cores)
        clip = clip_of(exact)

        def features(name: EngineName, precision: str) -> Callable[[UInt8Array], torch.Tensor]:
            engine = OpenVinoEngine(exact, graphs[name], name, graph_precision(name, precision), "", plan)
            return lambda frames: engine.encode(frames, clip)

        reference, served = features("openvino", "fp32"), features("openvino-int8", self.recognizer.precision)
        return agreement(exact, reference, served, self._clips(clip), question_of(exact))

    def _clips(self, clip: int) -> list[UInt8Array]:
        if self.clips:
            return list(self.clips)
        length = max(clip, _CHECKED_FRAMES)
        frames = clips_at_hand(CHECKED_CLIPS, length, self.recognizer.profile.size, seed=1)
        return [frames[at : at + length] for at in range(0, len(frames), length)]


def open_engine(recognizer: Recognizer, folder: Path, name: EngineName, plan: LanePlan) -> Engine:
    """folder: of the model's graphs. Raises: EngineUnavailable, RuntimeError."""
    if name == "eager":
        return EagerEngine(recognizer, plan)
    if name == "compiled":
        return CompiledEngine(recognizer, plan, folder.parent / _COMPILED)
    graph = folder / (INT8_GRAPH if name == "openvino-int8" else FP32_GRAPH)
    precision = graph_precision(name, recognizer.precision)
    return OpenVinoEngine(recognizer, graph, name, precision, f"{name} {_digest_of(graph)}", plan)


def delete_graphs(folder: Path) -> None:
    """So that they are made again."""
    for graph in (FP32_GRAPH, INT8_GRAPH):
        (folder / graph).unlink(missing_ok=True)
    _digest_of.cache_clear()


@cache
def _digest_of(graph: Path) -> str:
    """Of the graph's weights. A calibration on another machine may round differently. A process reads them once."""
    with graph.with_suffix(".bin").open("rb") as weights:
        return hashlib.file_digest(weights, "sha256").hexdigest()[:32]


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder whose files move to `folder` once all are written: the weights first, because the graph names them."""
    staged = Path(tempfile.mkdtemp(prefix=".making-", dir=folder))
    try:
        yield staged
        for file in sorted(staged.iterdir()):
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
