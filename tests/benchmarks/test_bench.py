"""The arithmetic of `make bench`, its table, and that no peer is part of Vireo. No peer is installed or started."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from benchmarks.bench import again, end_to_end, floor, table
from benchmarks.bench.__main__ import _distinct
from benchmarks.bench.goals import Goal, goals
from benchmarks.bench.measures import Key, Measures, cheapest, ratio, spread
from benchmarks.bench.processes import cpu_seconds, family, memory
from benchmarks.bench.servers import OURS, PEERS, ROOT, Running, Server

MACHINE = {"cpu": "a CPU", "cores": 2, "flags": ["avx2"], "memory_mib": 2048, "gpu": None, "load": 1.0, "torch": "2"}


def measured(subject: str, values: list[float], clients: int = 16, documented: bool | None = None) -> Measures:
    measures = Measures()
    key = Key(end_to_end.ROW, "clip-b16", subject, end_to_end.CPU, "s", clients, documented)
    for value in values:
        measures.add(key, value)
    return measures


def together(*parts: Measures) -> Measures:
    return Measures({key: values for part in parts for key, values in part.samples.items()})


def goal(measures: Measures, line: str) -> Goal:
    (found,) = [each for each in goals(measures) if line in each.line]
    return found


def test_a_ratio_is_taken_round_by_round() -> None:
    """The machine was ten times as slow in one round: the ratio does not see it."""
    assert ratio([1.0, 10.0, 1.0], [2.0, 20.0, 2.0]) == 0.5
    assert ratio([1.0, 10.0], [2.0, 20.0, 99.0]) == 0.5  # a round that did not end


def test_the_spread_is_that_of_the_quartiles() -> None:
    assert spread([1.0]) == 0.0
    assert spread([9.0, 10.0, 11.0, 10.0, 1000.0]) == pytest.approx(0.05)


def test_the_goal_is_beside_the_best_peer_of_the_right_kind() -> None:
    measures = together(
        measured(f"{OURS} (int8+bf16, openvino-int8)", [1.0, 1.0]),
        measured(f"{OURS} (bf16, openvino)", [2.0, 2.0]),
        measured("slow (fp32, torch)", [9.0, 9.0], documented=True),
        measured("fast (fp32, torch)", [5.0, 5.0], documented=True),
        measured("fast (int8+bf16, openvino-int8)", [1.2, 1.2], documented=False),
        measured("fast (bf16, openvino)", [2.5, 2.5], documented=False),
    )
    documented = goal(measures, "B/16, CPU-seconds per video, 16 clients / best peer as documented")
    assert (documented.figure, documented.held) == (0.2, True)
    assert "fast (fp32, torch)" in documented.detail
    same = goal(measures, "at our engine")
    assert same.figure == pytest.approx(1 / 1.2)
    assert same.held is False  # the goal is 1 / 1.3
    assert goal(measures, "B/16 in bf16, CPU-seconds per video, 16 clients / best peer as documented").figure == 0.4
    assert goal(measures, "best peer in bf16").figure == 0.8
    assert goal(measures, "B/32").held is None


def test_another_checkout_is_not_ours() -> None:
    before = Key(end_to_end.ROW, "lite", f"{OURS} (main) (fp32, default)", end_to_end.CPU, "s", 16)
    now = Key(end_to_end.ROW, "lite", f"{OURS} (fp32, default)", end_to_end.CPU, "s", 16)
    measures = Measures({before: [1.0], now: [0.4]})
    assert goal(measures, "`lite`").figure == pytest.approx(0.4)
    assert goal(Measures({before: [1.0]}), "`lite`").figure is None


def test_copies_that_chose_the_same_are_asked_once() -> None:
    def copy(name: str, setting: str) -> Running:
        return Running(Server(name, "default", [], {}, "", ""), "", Mock(), Path(), setting)

    first, second = copy(OURS, "int8"), copy(OURS, "int8")
    other, before = copy(OURS, "fp32"), copy(f"{OURS} (before)", "int8")
    assert [id(each) for each in _distinct([first, second, other, before])] == [id(first), id(other), id(before)]


def test_overhead_beside_the_floor_and_one_client() -> None:
    def key(row: str, what: str, clients: int = 0) -> Key:
        subject = "alone" if row == floor.ROW else f"{OURS} (fp32, torch)"
        return Key(row, "clip-b16", subject, what, "s", clients)

    measures = Measures(
        {
            key(floor.ROW, "all cores: decode + encode"): [0.8],
            key(floor.ROW, "one client: decode + encode"): [1.0],
            key(end_to_end.ROW, end_to_end.WALL, 16): [1.0],
            key(end_to_end.ROW, end_to_end.LATENCY, 1): [1.05],
            key(end_to_end.ROW, end_to_end.CPU, 1): [1.0],
            key(end_to_end.ROW, end_to_end.CPU, 16): [1.1],
        }
    )
    assert "80 %" in goal(measures, "/ floor").detail
    assert goal(measures, "/ floor").held is False
    assert goal(measures, "latency of one client").held is True
    assert goal(measures, "at 16 clients / at 1").held is False


def test_a_second_question_is_compared_with_the_first() -> None:
    measures = Measures()
    for subject, value in (("cold", 1000.0), ("by id", 6.0)):
        measures.add(Key(again.ROW, "lite", subject, "inside the service", "ms"), value)
    assert goal(measures, "re-ask p50").held is False
    assert goal(measures, "re-ask / cold").held is True


def test_the_cheapest_has_the_smallest_median() -> None:
    one, two = (Key("row", "", name, "CPU", "s") for name in "ab")
    assert cheapest({one: [1.0, 1.0, 99.0], two: [2.0, 2.0, 2.0]}) == one
    assert cheapest({}) is None


def test_the_table_shows_medians_and_goals_and_is_kept(tmp_path: Path) -> None:
    measures = measured(f"{OURS} (fp32, torch)", [1.0, 2.0, 3.0])
    table.write(tmp_path, "bench", MACHINE, measures, goals(measures))
    text = (tmp_path / "bench.md").read_text(encoding="utf-8")
    assert f"| clip-b16 | {OURS} (fp32, torch) | 2 ± 25 % |" in text
    assert "2 cores (avx2), 2 GiB, no GPU" in text
    assert "not measured" in text
    kept = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert kept["measures"][0]["samples"] == [1.0, 2.0, 3.0]
    assert (tmp_path / "bench.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_cpu_time_counts_children_and_those_that_ended() -> None:
    burn = "t = __import__('time').process_time; list(iter(lambda: t() > 0.3, True))"
    before = cpu_seconds(os.getpid())
    subprocess.run([sys.executable, "-c", burn], check=True)
    assert cpu_seconds(os.getpid()) - before >= 0.25
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        time.sleep(0.05)
        assert child.pid in family(os.getpid())
        assert memory(child.pid) > 0
    finally:
        child.kill()
        child.wait()
    assert memory(child.pid) == 0


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks" / "peers").glob("*.py")), ids=lambda file: file.stem)
def test_a_peer_imports_nothing_of_vireo(file: Path) -> None:
    rooms = {"core", "models", "worker", "service", "launcher", "vireo", "tests"}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name.split(".")[0] not in rooms
            assert not name.startswith("benchmarks.") or name.startswith("benchmarks.peers.")


def test_every_peer_is_a_module() -> None:
    for module, _ in PEERS.values():
        assert (ROOT / "benchmarks" / "peers" / f"{module}.py").exists()
