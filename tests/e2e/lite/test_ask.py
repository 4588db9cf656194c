"""`vireo ask`, labels that are names of folders, and the asynchronous client, on a running copy."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.e2e.stack import BIN, Stack
from tests.scenes import film
from vireo import AsyncClient

LABELS = ["a clock", "a spider web"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In a folder of classes, with a name that resembles the id of a stored video."""
    folder = tmp_path_factory.mktemp("classes")
    for label in LABELS:
        (folder / label).mkdir()
    return film(folder / "vid_20240101.mp4", [("a clock", 1.0)], seed=41)


def vireo(stack: Stack, *arguments: str, cwd: Path, typed: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"VIREO_URL": stack.url}
    return subprocess.run(
        [str(BIN / "vireo"), *arguments],
        cwd=cwd,
        env=environment,
        input=typed,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_labels_are_piped_in(stack: Stack, clip: Path) -> None:
    done = vireo(stack, "ask", clip.name, "--json", cwd=clip.parent, typed="a clock, a cat\na spider web\n/set none\n")
    assert done.returncode == 3, done.stderr
    first, second, third = (json.loads(line) for line in done.stdout.splitlines())
    assert first["predictions"][0]["label"] == "a clock"
    assert second["video"]["id"] == first["video"]["id"]
    assert second["cache"]["video"] == "hit"
    assert third["error"]["code"] == "unknown_label_set"
    assert "There is no label set" in done.stderr


def test_labels_are_typed_at_a_prompt(stack: Stack, clip: Path) -> None:
    """On a terminal it asks, and Ctrl-D ends it."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [str(BIN / "vireo"), "ask", str(clip), "--url", stack.url, "--json"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.write(ours, b"a clock, a cat\n\x04")
        out, err = process.communicate(timeout=120)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0, err
    assert "Ctrl-D ends" in err
    assert "labels> " in err
    assert json.loads(out)["predictions"][0]["label"] == "a clock"


def test_labels_that_are_names_of_folders_stay_labels(stack: Stack, clip: Path) -> None:
    done = vireo(stack, "classify", clip.name, "--labels", *LABELS, "--json", cwd=clip.parent)
    assert done.returncode == 0, done.stderr
    (answer,) = (json.loads(line) for line in done.stdout.splitlines())
    assert answer["file"] == clip.name
    assert {each["label"] for each in answer["predictions"]} == set(LABELS)
    eaten = vireo(stack, "classify", "--labels", "a clock", clip.name, cwd=clip.parent)
    assert eaten.returncode == 2
    assert "looks like a video" in eaten.stderr


def test_the_asynchronous_client(stack: Stack, clip: Path, tmp_path: Path) -> None:
    async def use() -> None:
        async with AsyncClient(stack.url) as client:
            with clip.open("rb") as file:
                answer = await client.classify(file, LABELS)
            assert answer.predictions[0].label == "a clock"
            told = await client.timeline(answer.video, LABELS)
            assert told.timeline is not None
            assert set(told.timeline.similarities) == set(LABELS)
            looked = await client.frames(answer.video.id, picture=tmp_path / "frames.jpg", frames=4)
            assert len(looked.frames) == 4
            assert (tmp_path / "frames.jpg").read_bytes()[:2] == b"\xff\xd8"
            vectors = await client.embed(["a clock"])
            assert len(vectors.data[0].vector) == vectors.dim

    asyncio.run(use())
