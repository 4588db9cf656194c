"""A whole dataset job with real clips: what an archive becomes, and what is left if the job fails, stops or dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.hostile_archives import pack_tar, pack_zip
from core.datasets import DatasetRequest
from core.errors import Cancelled, InvalidArchive, InvalidDataset, StorageUnavailable
from core.storage import Store
from tests.worker.datasets.conftest import DatasetBench
from worker.jobs.cancellation import StopReason

ROOT = Path(__file__).parents[3]


def two_classes(clips: list[bytes]) -> list[tuple[str, bytes]]:
    return [(f"{'jump' if index < 4 else 'wave arms'}/{index}.mp4", clip) for index, clip in enumerate(clips)]


def codes(report: list[dict[str, Any]]) -> set[str]:
    return {finding["code"] for finding in report}


def test_a_dataset_is_published_whole(bench: DatasetBench, clips: list[bytes]) -> None:
    request = bench.stock(pack_zip([*two_classes(clips), ("README.md", b"hello")]), val_fraction=0.25, split_seed=3)
    answer = bench.prepare(request)
    dataset = bench.read(answer["dataset"])
    assert (answer["name"], answer["classes"], answer["clips"]) == ("set", 2, 8)
    assert codes(answer["report"]) == {"ignored_file", "no_split"}
    assert [finding.model_dump(mode="json") for finding in dataset.report] == answer["report"]
    assert (dataset.labels, dataset.splits) == (("jump", "wave arms"), {"train": 6, "val": 2, "test": 0})
    assert (dataset.split_source, dataset.split_seed) == ("made", 3)
    assert dataset.bytes == sum(map(len, clips))
    assert [round(item.seconds * 25) for item in dataset.items] == list(range(8, 16))
    with bench.store.local_tree(f"datasets/{dataset.id}", "dataset.json") as tree:
        published = {path.name: path.read_bytes() for path in (tree / "clips").iterdir()}
    assert {item.sha256: clips[int(item.path[-5])] for item in dataset.items} == published


def test_progress_counts_inspected_clips(bench: DatasetBench, clips: list[bytes]) -> None:
    bench.send(pack_zip(two_classes(clips)))
    inspected = [progress for progress in bench.reported if "steps" in progress]
    assert inspected[-1] == {"step": 8, "steps": 8}
    assert [progress["step"] for progress in inspected] == sorted(progress["step"] for progress in inspected)


def test_the_same_content_is_the_same_dataset(bench: DatasetBench, clips: list[bytes]) -> None:
    """The format of the archive, the names and the order of the files do not matter."""
    files = two_classes(clips)
    first = bench.send(pack_zip(files))
    marker = bench.folder / f"data/store/datasets/{first.id}/dataset.json"
    written = marker.stat().st_mtime_ns
    second = bench.send(pack_tar([(f"set/{name}x", data) for name, data in reversed(files)]), name="other")
    assert second == first
    assert marker.stat().st_mtime_ns == written
    assert bench.send(pack_zip(files), split_seed=1).id != first.id


def test_a_given_split_is_kept_and_leaks_are_left_out(bench: DatasetBench, clips: list[bytes]) -> None:
    rows = [("a.mp4", "jump", "train"), ("b.mp4", "run", "train"), ("c.mp4", "jump", "test"), ("d.mp4", "swim", "test")]
    files = [(row[0], clip) for row, clip in zip(rows, clips, strict=False)]
    rows += [("leak.mp4", "jump", "train"), ("gone.mp4", "run", "train"), ("broken.mp4", "run", "val")]
    files += [("leak.mp4", clips[2]), ("broken.mp4", clips[0][: len(clips[0]) // 20])]
    manifest = "\n".join(json.dumps(dict(zip(("path", "label", "split"), row, strict=True))) for row in rows)
    dataset = bench.send(pack_tar([("manifest.jsonl", manifest.encode()), *files]))
    assert {item.path: item.split for item in dataset.items} == {row[0]: row[2] for row in rows[:4]}
    assert dataset.split_source == "given"
    found = {finding.code: finding.paths for finding in dataset.report}
    assert (found["leak"], found["missing_file"], found["undecodable"]) == (
        ("leak.mp4",),
        ("gone.mp4",),
        ("broken.mp4",),
    )
    assert "unseen_class" in found


def test_split_columns_are_part_of_the_dataset(bench: DatasetBench, clips: list[bytes]) -> None:
    files = [(f"{number}.mp4", clips[number]) for number in range(4)]

    def sent(header: str, cells: list[str]) -> Any:
        rows = [f"{number}.mp4,{'ab'[number % 2]}{cell}" for number, cell in enumerate(cells)]
        manifest = "\n".join([f"path,label{header}", *rows]).encode()
        return bench.send(pack_tar([("manifest.csv", manifest), *files]))

    plain = sent("", [""] * 4)
    first = sent(",split:1", [",test", ",test", ",train", ","])
    other = sent(",split:1", [",test", ",test", ",train", ",train"])
    assert len({plain.id, first.id, other.id}) == 3
    assert (plain.split_columns, first.split_columns) == ((), ("1",))
    assert [item.splits for item in first.items] == [{"1": "test"}, {"1": "test"}, {"1": "train"}, {}]
    assert first.under("1").splits == {"train": 1, "val": 0, "test": 2}


def test_undecodable_files_are_reported_by_their_reason(bench: DatasetBench, clips: list[bytes]) -> None:
    bad = [("jump/empty.mp4", b""), ("jump/text.mp4", b"hello"), ("jump/list.mp4", b"#EXTM3U\nfile:///etc/passwd\n")]
    dataset = bench.send(pack_zip([*two_classes(clips), *bad]))
    found = {finding.message: finding.paths for finding in dataset.report if finding.code == "undecodable"}
    assert sorted(path for paths in found.values() for path in paths) == sorted(name for name, _ in bad)
    assert {message.rpartition("(")[2] for message in found} == {"empty_file).", "not_a_video)."}
    assert len(dataset.items) == 8


@pytest.mark.parametrize("kept", [0, 4])
def test_a_dataset_that_nothing_can_be_trained_on_is_refused_with_its_report(
    bench: DatasetBench, clips: list[bytes], kept: int
) -> None:
    request = bench.stock(pack_zip([*two_classes(clips)[:kept], ("wave arms/bad.mp4", b"bad")]))
    with pytest.raises(InvalidDataset) as error:
        bench.prepare(request)
    report = error.value.details["report"]
    assert report[0]["severity"] == "error"
    assert "undecodable" in codes(report)
    assert bench.files() == set()
    json.dumps(error.value.to_dict())


def test_a_refused_archive_leaves_nothing(bench: DatasetBench, clips: list[bytes]) -> None:
    request = bench.stock(pack_tar([*two_classes(clips), ("../out.mp4", b"")]))
    with pytest.raises(InvalidArchive):
        bench.prepare(request)
    assert bench.files() == set()
    with pytest.raises(InvalidArchive) as error:
        bench.prepare(request)
    assert error.value.details["reason"] == "gone"


def test_cancelling_stops_and_leaves_nothing(bench: DatasetBench, clips: list[bytes]) -> None:
    request = bench.stock(pack_zip(two_classes(clips)))
    with pytest.raises(Cancelled):
        bench.prepare(request, lambda _: bench.token.cancel())
    assert bench.files() == set()


def test_a_worker_that_stops_keeps_the_archive_for_another(bench: DatasetBench, clips: list[bytes]) -> None:
    request = bench.stock(pack_zip(two_classes(clips)))
    with pytest.raises(Cancelled):
        bench.prepare(request, lambda _: bench.token.cancel(StopReason.WORKER_STOPS))
    assert bench.files() == {request.archive}


class Superseded(Exception):
    pass


def test_a_superseded_attempt_keeps_the_archive_for_the_next(bench: DatasetBench, clips: list[bytes]) -> None:
    request = bench.stock(pack_zip(two_classes(clips)))

    def superseded(_: dict[str, Any]) -> None:
        raise Superseded

    with pytest.raises(Superseded):
        bench.prepare(request, superseded)
    assert bench.files() == {request.archive}


def test_a_job_that_failed_on_a_full_store_can_be_repeated(
    bench: DatasetBench, clips: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = bench.stock(pack_zip(two_classes(clips)))

    def full(*_: object) -> None:
        raise StorageUnavailable("full")

    with monkeypatch.context() as patch:
        patch.setattr(bench.store, "publish_tree", full)
        with pytest.raises(StorageUnavailable):
            bench.prepare(request)
    assert bench.files() == {request.archive}
    assert bench.prepare(request)["clips"] == 8


def test_a_remote_store(bench: DatasetBench, clips: list[bytes], tmp_path: Path) -> None:
    bench.store = Store(f"memory://{tmp_path.name}", tmp_path / "spool")
    answer = bench.prepare(bench.stock(pack_zip(two_classes(clips))))
    assert len(bench.store.children(f"datasets/{answer['dataset']}/clips")) == 8
    left = [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]
    assert [path for path in left if path.suffix != ".writer"] == []


def test_no_torch_is_needed() -> None:
    script = "import sys, worker.datasets.preparation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


DYING = """
import os, signal, sys
from pathlib import Path
from core.datasets import DatasetRequest
from core.settings import Settings
from core.storage import Store
from worker.jobs.cancellation import CancelToken
from worker.datasets import preparation
from worker.decoding.pool import DecodePool

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def after(real):
    return lambda *args, **options: (real(*args, **options), die())

def main(data, request, point):
    settings = Settings(data_dir=Path(data))
    store = Store(settings.store_url, Path(data) / "spool")
    report_progress = lambda progress: die() if point == "inspecting" and "steps" in progress else None
    if point == "unpacking":
        preparation.list_clips = die
    if point in ("publish_tree", "write_text", "delete"):
        setattr(store, point, after(getattr(store, point)))
    with DecodePool(1, 20.0, 1 << 30, 1 << 24, 600.0) as decoders:
        preparation.prepare_dataset(DatasetRequest.model_validate_json(request), store=store, decoders=decoders,
                        settings=settings, token=CancelToken(), report_progress=report_progress)

if __name__ == "__main__":
    main(*sys.argv[1:])
"""


@pytest.mark.parametrize("point", ["unpacking", "inspecting", "publish_tree", "write_text", "delete"])
def test_after_kill_9_at_any_moment_the_next_attempt_finishes(
    bench: DatasetBench, clips: list[bytes], point: str
) -> None:
    request = bench.stock(pack_zip(two_classes(clips)))
    script = bench.folder / "dying.py"
    script.write_text(textwrap.dedent(DYING))
    command = [sys.executable, str(script), str(bench.folder / "data"), request.model_dump_json(), point]
    died = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert died.returncode == -signal.SIGKILL
    answer = bench.prepare(request)
    dataset = bench.read(answer["dataset"])
    assert (answer["clips"], dataset.splits) == (8, {"train": 6, "val": 2, "test": 0})
    bench.store.sweep()
    tree = {f"datasets/{dataset.id}/clips/{item.sha256}" for item in dataset.items}
    receipts = {name for name in bench.files() if name.endswith(".receipt")}
    assert bench.files() == {*tree, f"datasets/{dataset.id}/dataset.json", *receipts}
    assert len(receipts) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_unpacking_child_does_not_outlive_the_worker(bench: DatasetBench, clips: list[bytes]) -> None:
    """The child dies in the middle of an archive when the worker gets kill -9."""
    request = bench.stock(pack_zip([*two_classes(clips), *((f"jump/x{i}.mp4", os.urandom(99)) for i in range(8_000))]))
    script = bench.folder / "dying.py"
    script.write_text(textwrap.dedent(DYING))
    command = [sys.executable, str(script), str(bench.folder / "data"), request.model_dump_json(), "never"]
    worker = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        child = wait_for(lambda: unpacking_child(bench.folder))
    finally:
        worker.kill()
        worker.wait()
    wait_for(lambda: gone(child) or None)


def gone(pid: int) -> bool:
    """Whether the process has ended. A zombie counts as ended."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


def wait_for(look: Callable[[], Any]) -> Any:
    for _ in range(1500):
        if (found := look()) is not None:
            return found
        time.sleep(0.01)
    raise TimeoutError("it did not happen")


def unpacking_child(folder: Path) -> int | None:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if b"worker.datasets.archives.unpack_child" in command and str(folder).encode() in command:
            return int(entry.parent.name)
    return None


def test_a_request_without_an_archive(bench: DatasetBench) -> None:
    with pytest.raises(InvalidArchive):
        bench.prepare(DatasetRequest(archive="incoming/none", name="x"))


def test_real_clips_with_their_manifest(bench: DatasetBench, real_clips: Path) -> None:
    """Two classes have training clips, and a third has only test clips."""
    header, *lines = (real_clips / "manifest.csv").read_text().splitlines()
    wanted = [line for line in lines if line.split(",")[1:3] in (["jump", "train"], ["run", "train"])]
    wanted += [line for line in lines if line.startswith("actions20/")][:2]
    files = [(f"clips/{line.split(',')[0]}", (real_clips / line.split(",")[0]).read_bytes()) for line in wanted]
    dataset = bench.send(pack_tar([("clips/manifest.csv", "\n".join([header, *wanted]).encode()), *files]))
    assert dataset.splits == {"train": 20, "val": 0, "test": 2}
    assert {finding.code for finding in dataset.report} == {"thin_class", "unseen_class"}
