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
        name: client.keep(film(folder / f"{name}.mp4", shots, seed=7), tags=["library", name])["id"]
        for name, shots in SHOTS.items()
    }


def vireo(stack: Stack, *arguments: str) -> str:
    command = [str(BIN / "vireo"), *arguments, "--url", stack.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_videos_are_listed_and_described(stack: Stack, client: Client, library: dict[str, str]) -> None:
    listed = client.videos("library")
    assert {video["id"] for video in listed} == set(library.values())
    assert [video["id"] for video in client.videos("library", "web")] == [library["web"]]
    assert len(client.videos("library", limit=2)) == 2
    described = client.describe(library["light"], metadata={"camera": "3"})
    assert (described["tags"], described["metadata"]) == (["library", "light"], {"camera": "3"})
    assert json.loads(vireo(stack, "videos", "--tag", "web", "--json"))[0]["id"] == library["web"]
    shown = vireo(stack, "videos", "--tag", "library")
    assert all(video[:20] in shown for video in library.values())


def test_the_search_says_which_video_and_where(stack: Stack, client: Client, library: dict[str, str]) -> None:
    done = client.result(client.index(tags=["library"])["id"])
    assert (done["indexed"] + done["known"], done["failed"]) == (3, [])
    balloon = client.search("a hot air balloon", tags=["library"])
    assert (balloon["searched"], balloon["stored"]) == (3, 3)
    best = balloon["data"][0]
    assert best["video"] == library["mixed"]
    assert 2.5 <= best["start"] < best["end"] <= 6.5
    assert client.search("a traffic light", tags=["library"], top_k=1)["data"][0]["video"] == library["light"]
    like = client.search(video=library["web"], tags=["library"])["data"]
    assert like[0]["video"] == library["mixed"]
    assert like[0]["start"] >= 5.5
    assert client.search("a cat", tags=["none of these"])["data"] == []
    shown = vireo(stack, "search", "a traffic light", "--tag", "library", "--index")
    assert library["light"][:20] in next(line for line in shown.splitlines() if "vid_" in line)
    assert " – " in shown
    assert json.loads(vireo(stack, "search", "--like", library["web"], "--tag", "library", "--json"))["data"] == like


def test_a_video_can_be_made_searchable_at_its_upload(client: Client, tmp_path: Path) -> None:
    kept = client.keep(film(tmp_path / "new.mp4", [("a crossword puzzle", 2.0)], seed=3), tags=["new"], index=True)
    assert client.result(kept["index_job"])["indexed"] == 1
    assert client.search("a crossword puzzle", tags=["new"])["data"][0]["video"] == kept["id"]
