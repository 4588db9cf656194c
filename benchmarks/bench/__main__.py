"""`make bench`: Vireo beside its peers, and what each part of a question costs; one table.

    python -m benchmarks.bench [--rows …] [--models …] [--peers …] [--clients 1,4,16] [--rounds 7] [--before TREE]

All servers of a model run at the same time and are asked in turns, in an order that changes from round to round.
The full form takes an hour or more. A short one, about five minutes:

    make bench ARGS="--rows end-to-end,floor --models clip-b32 --clients 4 --rounds 3 --peers FastAPI"

Writes benchmarks/results/bench.md, .json and .svg. The exit status says whether all goals that were measured held.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from benchmarks.bench import again, end_to_end, floor, gpu, machine, servers, table, text
from benchmarks.bench.clients import Clips
from benchmarks.bench.goals import goals
from benchmarks.bench.measures import Key, Measures
from benchmarks.bench.servers import Running, Server
from benchmarks.random_weights import write_random
from benchmarks.report import RESULTS

ROWS = ("end-to-end", "floor", "text", "re-ask", "gpu", "decode", "training", "scaling")
OTHERS = {"decode": "benchmarks.decoding", "training": "benchmarks.step_cost", "scaling": "benchmarks.scaling"}
"""Rows that are scripts of their own, with their own tables."""
TEXT_MODEL = "lite"
"""Of the rows about labels, unless it is not asked for."""


def main(arguments: Sequence[str] | None = None) -> bool:
    """Whether every goal that was measured was reached."""
    options = _options(arguments)
    described = machine.describe()
    print(machine.in_words(described))
    measures = Measures()
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as folder:
        clips = Clips(Path(folder))
        if {"end-to-end", "floor", "text", "re-ask"} & set(options.rows):
            for model in options.models:
                for _ in _rounds(measures, model, options, clips, Path(folder)):  # what is measured is not lost
                    table.write(options.out, options.name, described, measures, goals(measures))
        if "gpu" in options.rows:
            if described["gpu"]:
                gpu.measure_round(measures)
            else:
                print("row GPU: this machine has none")
    reached = goals(measures)
    print(table.markdown(described, measures, reached))
    table.write(options.out, options.name, described, measures, reached)
    print(f"written: {options.out / options.name}.md, .json and .svg")
    others = [_other(row) for row in options.rows if row in OTHERS]
    return all(goal.held is not False for goal in reached) and all(others)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def listed(name: str, default: Sequence[str], help: str) -> None:
        parser.add_argument(name, type=lambda value: value.split(","), default=list(default), help=help)

    listed("--rows", ROWS, f"of {', '.join(ROWS)}")
    listed("--models", ("clip-b32", "clip-b16", "lite"), "of the rows that need one")
    listed("--peers", tuple(servers.PEERS), "beginnings of their names; `none` for none")
    listed("--clients", ("1", "4", "16"), "that ask at the same time")
    listed("--engines", ("",), "values of VIREO_ENGINE, one copy of Vireo for each; empty: its own choice")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--before", type=Path, help="another checkout of Vireo that runs beside this one")
    parser.add_argument("--cache", type=Path, default=RESULTS / "peers", help="where environments and exports are kept")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--name", default="bench", help="of the files with the results")
    options = parser.parse_args(arguments)
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"unknown rows: {', '.join(sorted(unknown))}")
    return options


def _rounds(measures: Measures, model: str, options: argparse.Namespace, clips: Clips, folder: Path) -> Iterator[int]:
    """All rows of one model, round by round."""
    for each in _places(options, folder, model):
        each.mkdir(parents=True)
        if model in servers.ARCHITECTURES:
            write_random(each, model)
    with ExitStack() as stack:
        ours = [stack.enter_context(servers.running(each, folder)) for each in _ours(model, options, folder)]
        compared = _distinct(ours)
        if "end-to-end" in options.rows:
            compared += [
                stack.enter_context(servers.running(each, folder)) for each in _peers(model, options, compared)
            ]
            _note_weights(measures, model, folder / f"{model}-0")
        for server in compared:
            print(f"ready: {server.server.name} ({server.setting})", flush=True)
            end_to_end.warm_up(server, clips)
        alone = (
            floor.Floor(model, folder / f"{model}-0", clips, options.engines[0] or "auto")
            if "floor" in options.rows
            else None
        )
        video = text.stored(ours[0], clips) if "text" in options.rows and _has_text(model, options) else None
        for number in range(options.rounds):
            print(f"{model}: round {number + 1} of {options.rounds}", flush=True)
            if "end-to-end" in options.rows:
                counts = [int(count) for count in options.clients]
                end_to_end.measure_round(measures, model, compared, clips, counts, number)
            if alone:
                alone.measure_round(measures)
            if video:
                text.measure_round(measures, model, ours[0], video, number)
            if "re-ask" in options.rows:
                again.measure_round(measures, model, ours[0], clips)
            yield number


def _places(options: argparse.Namespace, folder: Path, model: str) -> Iterator[Path]:
    """The data directories of our copies."""
    for number in range(len(options.engines) + bool(options.before)):
        yield folder / f"{model}-{number}"


def _ours(model: str, options: argparse.Namespace, folder: Path) -> Iterator[Server]:
    many = {"VIREO_MAX_LABELS": str(text.MANY)}
    *places, last = _places(options, folder, model)
    if not options.before:
        places.append(last)
    for engine, place in zip(options.engines, places, strict=True):
        yield servers.vireo(model, place, engine or None, settings=many)
    if options.before:
        yield servers.vireo(model, last, tree=options.before.resolve(), settings=many)


def _distinct(ours: Sequence[Running]) -> list[Running]:
    """The first of each setting. A copy may choose what another one is told to use; one row would mix both."""
    return list({(each.server.name, each.setting): each for each in reversed(ours)}.values())[::-1]


def _peers(model: str, options: argparse.Namespace, ours: Sequence[Running]) -> Iterator[Server]:
    """As documented, and in the number format and engine of each of our copies, where those differ."""
    if model not in servers.ARCHITECTURES:
        return
    names = [name for name in servers.PEERS if any(name.startswith(start) for start in options.peers)]
    settings = dict.fromkeys((("fp32", "torch"), *(_our_setting(each.setting) for each in ours)))
    for name in names:
        for precision, engine in settings:
            if name != "transformers X-CLIP" or engine == "torch":
                yield servers.peer(name, model, precision, engine, options.cache.resolve())


def _our_setting(ours: str) -> tuple[str, str]:
    """ours: number format and engine in words → those of a peer."""
    precision, engine = ours.split(", ")
    return precision, engine if engine in servers.ENGINES else "torch"


def _note_weights(measures: Measures, model: str, place: Path) -> None:
    """What the model itself takes."""
    size = end_to_end.weights_size(model, place) / (1 << 20)
    measures.add(Key(end_to_end.ROW, model, end_to_end.WEIGHTS, end_to_end.MEMORY, "MiB"), size)


def _has_text(model: str, options: argparse.Namespace) -> bool:
    """The rows about labels are measured with one model: 10,000 cold labels take CLIP minutes."""
    return model == (TEXT_MODEL if TEXT_MODEL in options.models else options.models[0])


def _other(row: str) -> bool:
    """The table of another script, and whether what it claims held. True if there is none."""
    module = OTHERS[row]
    if find_spec(module) is None:
        print(f"row {row}: {module} is not there")
        return True
    print(f"\nrow {row}: python -m {module}")
    return subprocess.run([sys.executable, "-m", module], check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(not main())
