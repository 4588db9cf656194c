"""A dataset of stored videos that people have labelled."""

from __future__ import annotations

import hashlib

import pytest

from benchmarks.hostile_archives import pack_zip
from core.datasets import DatasetRequest, StoredClip, StoredClips, archive_key
from core.errors import InvalidDataset
from core.storage import blob_key
from tests.worker.datasets.conftest import DatasetBench


def store(bench: DatasetBench, data: bytes) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    with bench.store.stage() as staged:
        staged.write(data)
        bench.store.publish(staged, blob_key(sha256))
    return sha256


def listed(bench: DatasetBench, clips: StoredClips) -> DatasetRequest:
    key = archive_key("feedback-1")
    bench.store.write_text(key, clips.model_dump_json())
    return DatasetRequest(archive=key, source="feedback", name="corrected")


def labelled(bench: DatasetBench, clips: list[bytes]) -> tuple[StoredClip, ...]:
    return tuple(
        StoredClip(sha256=store(bench, data), label=("jump", "wave arms")[number % 2])
        for number, data in enumerate(clips)
    )


def test_labelled_videos_become_a_dataset(bench: DatasetBench, clips: list[bytes]) -> None:
    wanted = (
        *labelled(bench, clips[:6]),
        StoredClip(sha256=store(bench, clips[6][:50]), label="jump"),
        StoredClip(sha256="0" * 64, label="jump"),
    )
    request = listed(bench, StoredClips(clips=wanted, parts=(wanted[0].sha256,) * 2))
    result = bench.prepare(request)
    dataset = bench.read(result["dataset"])
    assert {(item.sha256, item.label) for item in dataset.items} == {(each.sha256, each.label) for each in wanted[:6]}
    assert {item.path for item in dataset.items} == {f"vid_{each.sha256}" for each in wanted[:6]}
    assert (dataset.splits["train"], dataset.splits["val"]) == (4, 2)
    found = {finding["code"]: finding for finding in result["report"]}
    assert set(found) == {"undecodable", "missing_file", "span", "no_split"}
    assert found["missing_file"]["paths"] == [f"vid_{'0' * 64}"]
    assert found["span"]["paths"] == [f"vid_{wanted[0].sha256}"]
    assert (found["span"]["count"], found["undecodable"]["paths"]) == (2, [f"vid_{wanted[6].sha256}"])
    assert bench.store.exists(blob_key(wanted[0].sha256))  # a dataset has copies of its own
    assert not bench.store.exists(request.archive)
    assert bench.prepare(request) == result | {"report": result["report"]}  # another attempt, after the list is gone


def test_the_same_content_is_the_dataset_that_an_archive_makes(bench: DatasetBench, clips: list[bytes]) -> None:
    wanted = labelled(bench, clips)
    made = bench.prepare(listed(bench, StoredClips(clips=wanted)))["dataset"]
    archive = pack_zip([(f"{each.label}/{n}.mp4", clips[n]) for n, each in enumerate(wanted)])
    assert bench.send(archive).id == made


def test_too_many_bytes_are_refused(bench: DatasetBench, clips: list[bytes]) -> None:
    bench.settings = bench.settings.model_copy(update={"max_dataset_bytes": sum(map(len, clips)) - 1})
    request = listed(bench, StoredClips(clips=labelled(bench, clips)))
    with pytest.raises(InvalidDataset, match="more than"):
        bench.prepare(request)
    assert not bench.store.exists(request.archive)
