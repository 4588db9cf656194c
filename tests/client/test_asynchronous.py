"""The asynchronous client against a real gateway, and what an interruption of either client does."""

from __future__ import annotations

import asyncio
import inspect
import threading
from pathlib import Path
from typing import Any

import pytest

from core import errors
from core.records import Job as Recorded
from core.state import keys
from tests.client.test_client import folder, prepared
from tests.service.doubles import answering
from tests.service.library import DATASET, Library
from tests.service.sites import VIDEO, Site
from tests.waiting import wait_until
from vireo import AsyncClient, Client
from vireo.errors import UnknownVideo, VireoError
from vireo.synchronous import jobs


def public(kind: type) -> dict[str, list[str]]:
    """Method → names of its parameters."""
    found = {name: each for name, each in vars(kind).items() if not name.startswith("_") and inspect.isfunction(each)}
    return {name: list(inspect.signature(each).parameters) for name, each in found.items()}


def test_both_clients_have_the_same_methods() -> None:
    with Client("http://127.0.0.1:9") as client:
        other = AsyncClient("http://127.0.0.1:9")
        for mine, theirs in ((client, other), *zip(vars(client).values(), vars(other).values(), strict=True)):
            assert public(type(mine)) == public(type(theirs))
        asyncio.run(other.close())
    assert {"classify", "timeline", "explain", "frames", "search", "embed", "train"} <= set(public(Client))


def test_questions_lists_and_jobs(site: Site, library: Library, redis_url: str, tmp_path: Path) -> None:
    seen: list[list[str]] = []

    async def use() -> None:
        async with AsyncClient(site.url) as client:
            answers = await asyncio.gather(
                *(client.classify(video, ["a cat", "a dog"]) for video in (VIDEO, VIDEO + b"2", VIDEO + b"3"))
            )
            assert {answer.predictions[0].label for answer in answers} == {"a cat"}
            again = await client.classify(answers[0].video, ["a bird"])
            assert again.predictions[0].label == "a bird"
            assert [video.id async for video in client.videos.list(limit=2)] == [
                video.id async for video in client.videos.list()
            ][:2]
            vectors = await client.embed(["a cat"])
            assert vectors.data[0].vector == [1.0]
            made = await client.datasets.add(folder(tmp_path / "clips"))
            assert (await made.result()).dataset == DATASET
            library.dataset()
            job = await client.train("gym", DATASET)
            told = [event.state async for event in job.follow()]
            assert told[-1] == "succeeded"
            assert (await job.result()).model == "gym:1"
            with pytest.raises(UnknownVideo):
                await client.videos.get("vid_" + "0" * 64)

    def train(job: Recorded) -> dict[str, Any]:
        return {"model": "gym:1"}

    with (
        answering(redis_url),
        answering(redis_url, prepared(site, seen), keys.DATASETS),
        answering(redis_url, train, keys.TRAINING),
    ):
        asyncio.run(use())
    assert seen == [["boxing/clip.mp4", "running/clip.mp4"]]


def test_pages_follow_one_another(site: Site, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vireo.synchronous.connection.PAGE", 2)
    stored = [client.videos.add(VIDEO + bytes([number])).id for number in range(5)]
    assert [video.id for video in client.videos.list(limit=5)] == stored[::-1]
    assert [video.id for video in client.videos.list(limit=3)] == stored[:1:-1]
    assert list(client.videos.list(limit=0)) == []


def test_a_cancelled_task_cancels_its_question(site: Site, redis_url: str) -> None:
    async def use() -> str:
        async with AsyncClient(site.url) as client:
            question = asyncio.create_task(client.classify(VIDEO, ["a cat"]))
            while not (found := [job async for job in client.jobs.list(state="running")]):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            question.cancel()
            with pytest.raises(asyncio.CancelledError):
                await question
            return found[0].id

    with answering(redis_url, lambda _: None) as worker:
        job = asyncio.run(use())
        wait_until(lambda: job in worker.cancelled)


def test_ctrl_c_cancels_the_question(client: Client, redis_url: str, ctrl_c: Any) -> None:
    with answering(redis_url, lambda _: None) as worker:
        thread = ctrl_c(lambda: worker.seen)
        with pytest.raises(KeyboardInterrupt):
            client.classify(VIDEO, ["a cat"])
        thread.join()
        wait_until(lambda: worker.cancelled == worker.seen)


def test_an_answer_that_takes_longer_than_the_server_waits(
    client: Client, redis_url: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers 202 then, and the client asks for the job."""
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.01)
    with answering(redis_url, lambda _: None) as worker, Client(site.url, headers={"prefer": "respond-async"}) as slow:

        def finish() -> None:
            wait_until(lambda: worker.seen and worker.job(worker.seen[0]).attempts == 1)
            worker.finish(worker.seen[0], {"id": worker.seen[0], "model": "lite"})

        thread = threading.Thread(target=finish)
        thread.start()
        assert slow.classify(VIDEO, ["a cat"]).model == "lite"
        thread.join()


def test_the_error_of_a_job_is_raised_with_its_id(client: Client, redis_url: str) -> None:
    with answering(redis_url, lambda _: errors.UndecodableVideo("This is no video.")) as worker:
        with pytest.raises(VireoError, match="no video") as raised:
            client.classify(VIDEO, ["a cat"])
        assert (raised.value.job, raised.value.answered) == (worker.seen[0], 422)
