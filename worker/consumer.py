"""`vireo-worker --queue inference|training|datasets`: one worker process, of one kind.

Order of start: heartbeat (so that the gateway can say why it waits) ▸ what its kind needs (torch, a model) ▸ Celery.
SIGTERM finishes the questions in hand, gives training runs back with a checkpoint, and leaves the rest in the queue.
"""

from __future__ import annotations

import argparse
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from celery import Celery
from celery.signals import worker_shutting_down
from prometheus_client import start_http_server

from core.processes import use_safe_path
from core.settings import Settings, get_settings
from core.state import keys
from core.state.queues import TASKS, celery_app
from worker.jobs.attempt import Handler, run_job
from worker.jobs.book import JobBook
from worker.jobs.cancellation import Cancellations
from worker.jobs.connection import connect
from worker.jobs.heartbeat import Heartbeat
from worker.jobs.reaper import Reaper


class Role(Protocol):
    """What a kind of worker can do."""

    concurrency: int

    @property
    def handlers(self) -> Mapping[str, Handler]: ...

    def announce(self) -> None: ...

    def close(self) -> None: ...


def open_role(queue: str, settings: Settings, heartbeat: Heartbeat) -> Role:
    """Here and not above: torch takes seconds to import, and the heartbeat should already tell of it."""
    if queue == keys.INFERENCE:
        from worker.inference.role import InferenceRole

        return InferenceRole(settings, heartbeat)
    if queue == keys.TRAINING:
        from worker.training.job.role import TrainingRole

        return TrainingRole(settings, heartbeat)
    from worker.datasets.role import Datasets

    return Datasets(settings, heartbeat)


def main() -> None:
    parser = argparse.ArgumentParser(prog="vireo-worker", description=__doc__)
    parser.add_argument("--queue", choices=sorted(TASKS), default=keys.INFERENCE)
    use_safe_path()
    queue: str = parser.parse_args().queue
    settings = get_settings()
    logging.basicConfig(
        level=settings.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if settings.metrics_port:
        start_http_server(settings.metrics_port, addr=settings.host)
    client = connect(settings.jobs_redis, decode=True)
    running = Cancellations()
    book = JobBook(client, queue)
    heartbeat = Heartbeat(client, book, running)
    heartbeat.say(detail="importing torch" if queue == keys.INFERENCE else "starting")
    heartbeat.start()
    try:
        serve(settings, book, running, heartbeat)
    finally:
        heartbeat.stop()


def serve(settings: Settings, book: JobBook, running: Cancellations, heartbeat: Heartbeat) -> None:
    role = open_role(book.queue, settings, heartbeat)
    stopped = threading.Event()
    try:
        app = celery_app(settings)
        handlers = role.handlers

        # A question is acknowledged when it is answered, a run of hours when it starts: its lease keeps it safe.
        @app.task(name=TASKS[book.queue], acks_late=book.queue == keys.INFERENCE)
        def work(job_id: str) -> None:
            if run_job(handlers, book, running, job_id):
                send(job_id)

        def send(job_id: str) -> object:
            return app.send_task(TASKS[book.queue], [job_id], queue=book.queue)

        start("cancellations", running.listen, connect(settings.jobs_redis, decode=True), stopped)
        start("reaper", Reaper(book, send).run, stopped)
        role.announce()
        consume(app, book.queue, role.concurrency, settings, running)
    finally:
        stopped.set()
        role.close()


def start(name: str, target: Callable[..., None], *args: object) -> None:
    threading.Thread(target=target, name=name, args=args, daemon=True).start()


def consume(app: Celery, queue: str, concurrency: int, settings: Settings, running: Cancellations) -> None:
    """Blocks until SIGTERM or SIGINT."""
    if queue != keys.INFERENCE:  # answers take a second to finish, runs do not

        def leave(**_: Any) -> None:
            start("leaving", running.leave)

        worker_shutting_down.connect(leave, weak=False)
    options = ["--pool=threads", f"--concurrency={concurrency}", f"--queues={queue}"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", f"--loglevel={settings.log_level}"]
    app.worker_main(["worker", *options, *quiet])
