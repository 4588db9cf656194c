"""The stored videos of a copy, by the client and by command: tags, lists, and the search for what they show."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import BIN, Stack
from tests.scenes import film
from vireo import Client
from vireo.schema.requests import SearchFilter

SHOTS = {
    "mixed": [("a clock", 3.0), ("a hot air balloon", 3.0), ("a spider web", 3.0)],
    "web": [("a spider web", 2.0)],
    "light": [("a traffic light", 2.0)],
}


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.url) as client:
        yield client


@pytest.fixture(scope="module")
def library(client: Client, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Name → id of the films, which are kept with tags. They are this module's own."""
    folder = tmp_path_factory.mktemp("films")
    return {
        name: client.videos.add(film(folder / f"{name}.mp4", shots, seed=7), tags=["library", name]).id
        for name, shots in SHOTS.items()
    }


def vireo(stack: Stack, *arguments: str) -> str:
    command = [str(BIN / "vireo"), *arguments, "--url", stack.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_videos_are_listed_and_described(stack: Stack, client: Client, library: dict[str, str]) -> None:
    assert {video.id for video in client.videos.list(tags=["library"])} == set(library.values())
    assert [video.id for video in client.videos.list(tags=["library", "web"])] == [library["web"]]
    assert len(list(client.videos.list(tags=["library"], limit=2))) == 2
    described = client.videos.update(library["light"], metadata={"camera": "3"})
    assert (described.tags, described.metadata) == (["library", "light"], {"camera": "3"})
    assert json.loads(vireo(stack, "videos", "--tag", "web", "--json"))[0]["id"] == library["web"]
    shown = vireo(stack, "videos", "--tag", "library")
    assert all(video[:20] in shown for video in library.values())


def test_the_search_says_which_video_and_where(stack: Stack, client: Client, library: dict[str, str]) -> None:
    done = client.videos.index(tags=["library"]).result()
    assert (done.indexed + done.known, done.failed) == (3, [])
    mine: SearchFilter = {"tags": ["library"]}
    balloon = client.search("a hot air balloon", filter=mine)
    assert (balloon.searched, balloon.stored) == (3, 3)
    best = balloon.data[0]
    assert best.video == library["mixed"]
    assert 2.5 <= best.start < best.end <= 6.5
    assert client.search("a traffic light", filter=mine, top_k=1).data[0].video == library["light"]
    like = client.search(video_id=library["web"], filter=mine).data
    assert like[0].video == library["mixed"]
    assert like[0].start >= 5.5
    assert client.search("a cat", filter={"tags": ["none of these"]}).data == []
    shown = vireo(stack, "search", "a traffic light", "--tag", "library", "--index")
    assert library["light"][:20] in next(line for line in shown.splitlines() if "vid_" in line)
    assert " – " in shown
    assert json.loads(vireo(stack, "search", "--like", library["web"], "--tag", "library", "--json"))["data"] == [
        hit.raw for hit in like
    ]


def test_a_video_can_be_made_searchable_at_its_upload(client: Client, tmp_path: Path) -> None:
    clip = film(tmp_path / "new.mp4", [("a crossword puzzle", 2.0)], seed=3)
    kept = client.videos.add(clip, tags=["new"], index=True)
    assert kept.index_job is not None
    assert client.jobs.get(kept.index_job).result().indexed == 1
    assert client.search("a crossword puzzle", filter={"tags": ["new"]}).data[0].video == kept.id
