"""The pages whose commands train, or need what was trained: run with a tiny model in place of those that they name."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from snippets import FENCE, snippet
from transcripts import difference, replay

from tests.docs.pages import ROOT
from tests.e2e.pages import ON_LITE, on_tiny
from tests.e2e.runs import CLASSES, finished, start
from tests.e2e.stack import Stack

TINY = {"lite": "tiny", "clip-b16": "tiny"}
UNCOUNTED = {"lite": "official"}  # for a page that calibrates: other tests count the calibrations of `tiny`


@dataclass(frozen=True)
class Furniture:
    """What the examples of a reference speak of: files in a directory, and ids in variables of the shell."""

    directory: Path
    variables: dict[str, str]


@pytest.fixture(scope="module")
def furniture(
    stack: Stack, archive: Path, dataset: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Furniture]:
    """At the end the copy has no models, feedback or datasets more than before: others look at its lists."""
    directory = tmp_path_factory.mktemp("furniture")
    shutil.copy(archive, directory / "my-gym.zip")
    shutil.unpack_archive(archive, directory)
    shutil.copy(directory / "scenes" / CLASSES[0] / "0.mp4", directory / "clip.mp4")
    with stack.http() as http:
        before = _things(http)
        jobs = [start(http, dataset, "my-gym") for _ in range(2)]
        folders = [sorted((directory / "scenes" / label).glob("*.mp4"))[1:3] for label in CLASSES]
        labelled = [_labelled(http, clip) for folder in folders for clip in folder]
        (directory / "videos.csv").write_text("\n".join(["video_id", *labelled]))
        question = {"labels": ["a ball", "a box"], "items": [{"video_id": labelled[0]}]}
        batch: str = http.post("/v1/batches", json=question).json()["id"]
        video = {"video": ("clip.mp4", (directory / "clip.mp4").read_bytes())}
        answer = http.post("/v1/classify", files=video, data={"labels": '["a cat", "a dog"]'}).json()
        for job in [*jobs, batch]:
            finished(http, job)
        http.put("/v1/models/my-gym/aliases/production", json={"version": 1}).raise_for_status()
    ids = {"VIDEO": answer["video"]["id"], "JOB": answer["id"], "BATCH": batch, "DATASET": dataset}
    yield Furniture(directory, ids)
    with stack.http() as http:
        for state in ("queued", "running"):
            for job in http.get("/v1/jobs", params={"state": state}).json()["data"]:
                finished(http, job["id"])
        for path in _things(http) - before:
            http.delete(path).raise_for_status()


def _things(http: httpx2.Client) -> set[str]:
    """The paths of the models, of the feedback and of the datasets."""
    models = {f"/v1/models/{model['name']}" for model in http.get("/v1/models").json()["data"]}
    feedback = {each["links"]["self"] for each in http.get("/v1/feedback", params={"limit": 100}).json()["data"]}
    return models | feedback | {f"/v1/datasets/{found['id']}" for found in http.get("/v1/datasets").json()["data"]}


def _labelled(http: httpx2.Client, clip: Path) -> str:
    """The id of a stored video that a person has labelled."""
    video: str = http.post("/v1/videos", files={"video": (clip.name, clip.read_bytes())}).json()["id"]
    http.post("/v1/feedback", json={"video": video, "label": clip.parent.name}).raise_for_status()
    return video


@pytest.mark.parametrize("page", on_tiny())
def test_the_commands_of_a_page_work(page: str, stack: Stack, furniture: Furniture, tmp_path: Path) -> None:
    """A tutorial begins with an empty directory. Answers are compared only where they are those of any model."""
    text = (ROOT / page).read_text(encoding="utf-8")
    directory, variables = tmp_path / "page", furniture.variables
    if page in ON_LITE or page.startswith("docs/tutorials/"):
        directory.mkdir()
        variables = {}
    else:
        shutil.copytree(furniture.directory, directory)
    if page in ON_LITE:  # what is not slow is run there
        text = FENCE.sub(lambda match: match[0] if snippet(match).is_slow else "", text)
    models = UNCOUNTED if page == "docs/tutorials/calibrate.md" else TINY
    fresh = replay(text, stack.url, slow=True, directory=directory, variables=variables, models=models)
    assert page in ON_LITE or difference(text, fresh, slow=False) == ""
