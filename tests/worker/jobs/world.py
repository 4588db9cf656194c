"""The actors of the state machine test: workers, a gateway and a Redis that misbehave on command.

The workers run the real `run_job`, `RunningJobs` and `Reaper`, the gateway is the real `Jobs` with the real Celery
messages. Every attempt is a thread that does what the test tells it and then waits, so that a sequence of commands has
one outcome only.
"""

from __future__ import annotations

import asyncio
import base64
import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, cast
from unittest.mock import patch

import redis
import redis.asyncio
from pydantic import BaseModel
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.errors import StorageUnavailable, TrainingFailed
from core.records import Job, JobState, Progress
from core.state import keys
from core.state.payloads import Payloads
from core.state.queues import send_job
from core.storage import Store
from launcher import embedded_redis
from service.jobs.repository import Jobs
from service.jobs.sender import Sender
from service.ops.workers import Workers
from tests.worker.jobs.clock import elapse
from worker.jobs.attempt import Awaits, Interrupted, run_job
from worker.jobs.book import JobBook
from worker.jobs.cancellation import CancelToken, RunningJobs
from worker.jobs.reaper import Reaper
from worker.jobs.reporter import Reporter

QUEUE = keys.TRAINING
LIMIT = 8  # unfinished jobs that the gateway accepts
PATIENCE = 120.0  # seconds that the test waits for a thread; much longer than any step takes

Line = Literal["up", "down", "reply lost"]
"""What happens to the next command of a worker: nothing, no connection, or its reply is lost after it was done."""

Command = Literal["report", "metric", "checkpoint", "look", "succeed", "fail", "interrupt", "await"]


class PrivateRedis:
    """A Redis of our own with an append-only file, which can be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "redis.sock"
        command = embedded_redis.command(embedded_redis.find_server(), self.socket, directory)
        # With `everysec` a server that is killed while the disk is busy loses up to two seconds.
        self._command = [*command, "--appendfsync", "always"]
        self._process = self._start()

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def _start(self) -> subprocess.Popen[bytes]:
        self.socket.unlink(missing_ok=True)
        process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with redis.Redis(unix_socket_path=str(self.socket)) as client:
                    client.ping()
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "the private Redis did not start"
                time.sleep(0.01)
            else:
                return process

    def crash_and_restart(self) -> None:
        self.stop()
        self._process = self._start()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class WorkerConnection(redis.UnixDomainSocketConnection):
    """A connection that fails when its worker's line is cut."""

    line: Line = "up"  # one worker acts at a time, so all share the line

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        if WorkerConnection.line == "down":
            self.disconnect()  # type: ignore[no-untyped-call]
            raise redis.ConnectionError("the line is down")
        super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        response = super().read_response(*args, **kwargs)
        if WorkerConnection.line == "reply lost":
            WorkerConnection.line = "up"
            self.disconnect()  # type: ignore[no-untyped-call]
            raise redis.ConnectionError("the reply is lost")
        return response


@contextmanager
def line(state: Line) -> Iterator[None]:
    WorkerConnection.line = state
    try:
        yield
    finally:
        WorkerConnection.line = "up"


def worker_client(url: str) -> redis.Redis:
    path = url.removeprefix("unix://")
    pool = redis.ConnectionPool(
        connection_class=WorkerConnection, path=path, decode_responses=True, retry=Retry(NoBackoff(), 3)
    )
    return redis.Redis(connection_pool=pool)


class Died(BaseException):
    """kill -9 of the attempt's worker."""


class Attempt:
    """A message that a worker handles, in a thread."""

    def __init__(self, worker: Worker, job_id: str) -> None:
        self.worker, self.job_id = worker, job_id
        self.holder = ""  # the attempt's name in the record, once it has started
        self.token: CancelToken | None = None
        self.over = False
        self.safe = True
        """Its worker renews the lease in time."""
        self._commands: queue.Queue[Command | type[Died]] = queue.Queue()
        self._idle = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._wait()

    def command(self, command: Command) -> None:
        self._commands.put(command)
        self._wait()

    def kill(self) -> None:
        if not self.over:
            self._commands.put(Died)
            self._wait()

    def _wait(self) -> None:
        assert self._idle.acquire(timeout=PATIENCE), "an attempt hangs"

    def _run(self) -> None:
        try:
            delay = run_job({"training": self._handle}, self.worker.book, self.worker.running, self.job_id)
            if delay is not None:
                self.worker.send(self.job_id)
        except (Died, redis.RedisError):
            pass
        finally:
            self.over = True
            self._idle.release()

    def _handle(self, job: Job, token: CancelToken, reporter: Reporter) -> dict[str, Any]:
        self.token, self.holder = token, reporter.attempt.holder
        while True:
            self._idle.release()
            command = self._commands.get()
            match command:
                case "report":
                    reporter.progress(Progress(phase="training", step=reporter.attempt.number))
                case "metric":
                    reporter.event("metric", {"holder": self.holder})
                case "checkpoint":
                    reporter.event("checkpoint", {}, checkpoint_saved=True)
                case "look":
                    token.check()
                case "succeed":
                    return {"holder": self.holder}
                case "fail":
                    raise TrainingFailed("It diverged.", holder=self.holder)
                case "interrupt":
                    raise Interrupted("the child died")
                case "await":
                    if job.parent is None:
                        raise Awaits([child_of(job, number) for number in range(2)])
                case _:
                    raise Died


def child_of(job: Job, number: int) -> Job:
    return Job(id=f"{job.id}-{number}", kind="training", parent=job.id, created_at=0.0)


class Worker:
    """A worker process: its attempts, its heartbeat and its reaper. `skew`: how wrong its host's clock is, in s."""

    def __init__(self, url: str, send: Callable[[str], None], skew: float) -> None:
        self._url = url
        self.send, self.skew = send, skew
        self.boot()

    def boot(self) -> None:
        self.book = JobBook(worker_client(self._url), QUEUE)
        self.running = RunningJobs()
        self.attempts: list[Attempt] = []
        self.frozen = False
        self.reaper = Reaper(self.book, self.send)

    @contextmanager
    def acting(self) -> Iterator[None]:
        """The clock is that of this worker's host."""
        real = time.time
        with patch("time.time", lambda: real() + self.skew):
            yield

    def handle(self, job_id: str) -> Attempt:
        attempt = Attempt(self, job_id)
        if not attempt.over:
            attempt.safe = not self.frozen
            self.attempts.append(attempt)
        return attempt

    def beat(self) -> None:
        self.running.observe(self.book.renew_leases(self.running.attempts))

    def crash(self) -> None:
        for attempt in self.attempts:
            attempt.kill()
        self.boot()

    def forget_ended(self) -> None:
        self.attempts = [attempt for attempt in self.attempts if not attempt.over]


class Question(BaseModel):
    text: str = "?"


class FlakySender:
    """The road to the broker. `meanwhile` happens after a message was sent and before its sender knows."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.state: Literal["up", "down", "unsure"] = "up"
        self.meanwhile: Callable[[], object] = lambda: None

    async def send(self, job: Job) -> None:
        if self.state != "down":
            await self._sender.send(job)
            self.meanwhile()
        if self.state != "up":
            raise StorageUnavailable("The queue cannot be reached.")


class World:
    def __init__(self, server: PrivateRedis) -> None:
        self.server = server
        self.redis = redis.Redis.from_url(server.url, decode_responses=True, retry=Retry(NoBackoff(), 3))
        self.redis.flushall()
        self._loop = asyncio.Runner()
        self._gateway_redis = redis.asyncio.Redis.from_url(server.url, decode_responses=True)
        self.sender = FlakySender(Sender(self._gateway_redis))
        payloads = Payloads(Store(server.socket.parent.as_uri() + "/store", server.socket.parent / "spool"), 1 << 16)
        workers = Workers(self._gateway_redis)
        self.jobs = Jobs(self._gateway_redis, cast(Sender, self.sender), workers, payloads, LIMIT, 1 << 20)
        self.workers = [Worker(server.url, self.send, skew) for skew in (0.0, -3600.0, 3600.0)]

    def close(self) -> None:
        for worker in self.workers:
            worker.crash()
        self._loop.run(self._gateway_redis.aclose())
        self._loop.close()
        self.redis.close()

    def gateway(self, work: Any) -> Any:
        return self._loop.run(work)

    def send(self, job_id: str) -> None:
        with line("up"), suppress(redis.RedisError):  # then the message is lost
            send_job(self.redis, job_id, QUEUE)

    def messages(self) -> int:
        return self.redis.llen(QUEUE)

    def take_message(self) -> tuple[str, str]:
        """The oldest message, and the job that it names."""
        message = str(self.redis.rpop(QUEUE))
        (job_id,), _, _ = json.loads(base64.b64decode(json.loads(message)["body"]))
        return message, job_id

    def put_message(self, message: str) -> None:
        self.redis.rpush(QUEUE, message)

    def pass_time(self, seconds: float) -> None:
        """Workers that are not frozen send their heartbeats meanwhile, and one of them reaps in the end."""
        beat = self.workers[0].book.lease / 4
        while seconds > 0:
            elapse(self.redis, min(beat, seconds))
            seconds -= beat
            for worker in self.workers:
                if not worker.frozen and worker.attempts:
                    with worker.acting():
                        worker.beat()
        for worker in [worker for worker in self.workers if not worker.frozen][:1]:
            with worker.acting():
                worker.reaper.sweep()

    @property
    def attempts(self) -> list[Attempt]:
        return [attempt for worker in self.workers for attempt in worker.attempts]

    def record(self, job_id: str) -> dict[str, str]:
        return cast(dict[str, str], self.redis.hgetall(keys.job(job_id)))

    def belongs_to(self, attempt: Attempt) -> bool:
        record = self.record(attempt.job_id)
        return record["state"] == JobState.RUNNING and record["holder"] == attempt.holder

    def snapshot(self, job_id: str) -> list[Any]:
        """All that a step of an attempt can change."""
        lease = self.redis.zscore(keys.running(QUEUE), job_id)
        return [self.record(job_id), lease, self.story(job_id), self.redis.llen(keys.metrics(job_id))]

    def story(self, job_id: str) -> list[tuple[str, str]]:
        entries: Any = self.redis.xrange(keys.events(job_id))
        return [(fields["event"], fields["data"]) for _, fields in entries]
