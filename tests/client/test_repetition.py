"""What both clients send again after an error, against a real HTTP server."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client.servers import Reply, Scripted, refusal, scripted
from vireo import AsyncClient, Client, ConnectionFailed, VireoError
from vireo.errors import ConnectionLost, ModelUnavailable, QueueFull
from vireo.retries import Retries
from vireo.schema.questions import Classification

ANSWER = Reply(200, {"id": "job_1", "predictions": [{"label": "a cat", "score": 1, "similarity": 0.2}]})
JOB = Reply(202, {"id": "job_1", "kind": "training", "state": "queued"})

Ask = Callable[..., Classification]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds for which the clients wanted to wait."""
    told: list[float] = []

    async def asleep(seconds: float) -> None:
        told.append(seconds)

    monkeypatch.setattr("vireo.synchronous.connection.sleep", told.append)
    monkeypatch.setattr("vireo.asynchronous.connection.sleep", asleep)
    return told


@pytest.fixture(params=["synchronous", "asynchronous"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """A question by one of the two clients."""

    def at_once(
        server: Scripted, video: Any = None, client: dict[str, Any] | None = None, **more: Any
    ) -> Classification:
        with Client(server.url, **(client or {})) as asked:
            return asked.classify(video, ["a cat"], **more)

    async def asynchronously(server: Scripted, video: Any, client: dict[str, Any], more: Any) -> Classification:
        async with AsyncClient(server.url, **client) as asked:
            return await asked.classify(video, ["a cat"], **more)

    def run(server: Scripted, video: Any = None, client: dict[str, Any] | None = None, **more: Any) -> Classification:
        return asyncio.run(asynchronously(server, video, client or {}, more))

    return at_once if request.param == "synchronous" else run


@pytest.fixture
def videos(tmp_path: Path) -> Iterator[list[Any]]:
    """The same video as a path, as bytes, and as file objects that stand behind their first bytes."""
    (tmp_path / "clip.mp4").write_bytes(b"a video")
    (tmp_path / "long.mp4").write_bytes(b"head" + b"a video")
    with (tmp_path / "long.mp4").open("rb") as file, io.BytesIO(b"head" + b"a video") as memory:
        file.seek(4)
        memory.seek(4)
        yield [tmp_path / "clip.mp4", str(tmp_path / "clip.mp4"), b"a video", file, memory]


def test_a_refused_question_is_sent_again_with_its_key_and_all_of_its_body(
    ask: Ask, pauses: list[float], videos: list[Any]
) -> None:
    for video in videos:
        replies = refusal(429, "queue_full", retry_after="7"), refusal(503, "overloaded"), Reply(0), ANSWER
        with scripted(*replies) as server:
            assert ask(server, video).predictions[0].label == "a cat"
        assert len(server.asked) == 4
        assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1
        for asked in server.asked:
            assert asked.body.count(b"a video") == 1
            assert b"head" not in asked.body
            assert int(asked.headers["content-length"]) == len(asked.body)
        assert (pauses[0], pauses[1]) == (7.0, 5.0)
        assert 0.75 <= pauses[2] <= 1.25
        pauses.clear()


@pytest.mark.parametrize(
    ("replies", "kind", "sent"),
    [
        ([refusal(429, "queue_full", retry_after="0")], QueueFull, 3),
        ([refusal(429, "queue_full", retry_after="61")], QueueFull, 1),
        ([refusal(429, "queue_full", retry_after="40")], QueueFull, 2),
        ([refusal(503, "model_unavailable", location="/v1/jobs/job_1")], ModelUnavailable, 1),
        ([refusal(422, "invalid_request")], VireoError, 1),
        ([refusal(500, "internal_error")], VireoError, 1),
        ([Reply(0)], ConnectionLost, 3),
    ],
    ids=["again and again", "too long", "too long in all", "a failed job", "refused", "broken", "cut off"],
)
def test_repetitions_have_an_end(
    ask: Ask, pauses: list[float], replies: list[Reply], kind: type[VireoError], sent: int
) -> None:
    with scripted(*replies) as server, pytest.raises(kind):
        ask(server, video_id="vid_1", client={"retries": 2})
    assert len(server.asked) == sent


def test_a_file_that_cannot_be_read_twice_is_sent_once(ask: Ask, pauses: list[float]) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with scripted(refusal(429, "queue_full", retry_after="0"), ANSWER) as server, pytest.raises(QueueFull):
        ask(server, Pipe(b"a video"))
    assert b"a video" in server.asked[0].body
    assert pauses == []


def test_what_may_have_been_done_is_not_done_twice(pauses: list[float]) -> None:
    with scripted(Reply(0)) as server, Client(server.url) as client:
        with pytest.raises(ConnectionLost):
            client.jobs.resume("job_1")
        assert len(server.asked) == 1
        with pytest.raises(ConnectionLost):
            client.videos.delete("vid_1")
        assert len(server.asked) == 5


def test_token_headers_key_and_webhook_are_sent(ask: Ask) -> None:
    settings = {"token": "secret", "headers": {"x-team": "red"}, "webhook": "https://example.org/done"}
    with scripted(ANSWER) as server:
        ask(server, video_id="vid_1", client=settings, idempotency_key="mine")
    headers = server.asked[0].headers
    assert (headers["authorization"], headers["x-team"]) == ("Bearer secret", "red")
    assert (headers["webhook-url"], headers["idempotency-key"]) == ("https://example.org/done", "mine")


def test_events_are_read_on_after_a_connection_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after one that broke inside an event, and one that the server refused."""
    monkeypatch.setattr("vireo.synchronous.jobs.POLL_SECONDS", 0.0)
    kind = {"content-type": "text/event-stream"}
    first = b'retry: 2000\n\n: still here\n\nid: 1-0\nevent: state\ndata: "running"\n\nid: 2-0\nevent: log\n'
    second = b'id: 2-0\nevent: log\ndata: {"message":\ndata:  "a\xe2\x80\xa8b"}\n\n'
    third = b'id: 3-0\nevent: state\ndata: "succeeded"\n\n'
    running = Reply(200, {"id": "job_1", "state": "running"})
    replies = (
        *(JOB, Reply(0), Reply(200, first, kind), running, refusal(503, "overloaded")),
        *(running, Reply(200, second, kind), running, Reply(200, third, kind)),
    )
    with scripted(*replies) as server, Client(server.url) as client:
        events = list(client.train("gym", "ds_1").follow())
    assert [event.raw for event in events] == ["running", {"message": "a\u2028b"}, "succeeded"]
    streams = [asked for asked in server.asked if asked.path.endswith("/events")]
    assert [asked.headers.get("last-event-id") for asked in streams] == [None, None, "1-0", "1-0", "2-0"]


def test_every_job_has_a_key_of_its_own() -> None:
    with scripted(JOB) as server, Client(server.url) as client:
        client.train("gym", "ds_1")
        client.train("gym", "ds_1")
        client.batches.start(["vid_1"], ["a cat"])
        client.evaluations.start("ds_1")
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 4


def test_a_server_that_is_not_there(pauses: list[float], ask: Ask) -> None:
    nobody = Scripted([], "http://127.0.0.1:9")
    with pytest.raises(ConnectionFailed, match="Nothing answers") as raised:
        ask(nobody, video_id="vid_1")
    assert type(raised.value) is ConnectionFailed
    assert "vireo up" in (raised.value.hint or "")
    assert len(pauses) == 3


@pytest.mark.parametrize("name", ["a b", "../jobs", "a?b=c", "a/b"])
def test_a_name_is_one_part_of_a_path(name: str) -> None:
    with scripted(Reply(200, {"name": name})) as server, Client(server.url) as client:
        client.label_sets.get(name)
    path = server.asked[0].path.removeprefix("/v1/label-sets/")
    assert not set(path) & set("/? ")


def test_pauses_grow() -> None:
    lost = ConnectionFailed("Nothing answers.")
    pauses = [Retries(9, 1000).pause(lost, done, 0.0, repeatable=False) or 0.0 for done in range(9)]
    assert pauses[0] < 0.4
    assert pauses[3] > pauses[0] * 3
    assert max(pauses) <= 10.0
    assert Retries(0).pause(lost, 0, 0.0, repeatable=True) is None
