"""`vireo-worker --queue inference|training|datasets`: one worker process, which serves one queue, and its parent.

Order of start: the parent imports what the queue's jobs need, while another process announces it, and starts the worker
(`worker.children.parent`) ▸ heartbeat (so that the gateway can tell users what it waits for) ▸ a model ▸ Celery. On
SIGTERM an inference worker finishes its running questions. The other workers put their running jobs back into the
queue, a training run with a checkpoint. Messages that were not fetched stay in the queue.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from celery import Celery
from celery.signals import worker_shutting_down
from celery.worker import state as celery_state
from prometheus_client import start_http_server

from core.errors import VireoError, WorkerUnavailable
from core.logs.lines import configure_logs
from core.processes import limit_heaps, use_safe_path
from core.schema import IncompatibleData, open_data_of
from core.settings import Settings, get_settings
from core.settings.machine import usable_cores
from core.state import keys
from core.state.payloads import Payloads
from core.state.queues import TASKS, celery_app, send_job
from core.storage import Store, store_upkeep
from core.storage.identity import store_id
from core.tracing.export import configure_tracing
from worker.children.confinement import find_missing_guards
from worker.children.parent import Life, become_worker, until_terminated
from worker.jobs.attempt import Handler, PutBack, run_job
from worker.jobs.book import JobBook
from worker.jobs.cancellation import RunningJobs
from worker.jobs.connection import connect
from worker.jobs.heartbeat import Heartbeat
from worker.jobs.reaper import Reaper

log = logging.getLogger(__name__)

STORE_SECONDS = 60.0  # between two looks at which store this worker uses
EXIT_DEVICE_FAILED = 70
_leaving = threading.Event()  # set once the device has failed
LEAVE_SECONDS = 20.0  # that running jobs have to go back into the queue before the process ends by force
_FEWEST_HEAPS = 2


class Role(Protocol):
    """The kinds of job that a worker can do."""

    concurrency: int

    @property
    def handlers(self) -> Mapping[str, Handler]: ...

    def announce(self) -> None: ...

    def close(self) -> None: ...


class JoinedRole:
    """Several roles that serve one queue."""

    def __init__(self, *roles: Role) -> None:
        self._roles = roles
        self.concurrency = min(role.concurrency for role in roles)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {kind: handler for role in self._roles for kind, handler in role.handlers.items()}

    def announce(self) -> None:
        for role in self._roles:
            role.announce()

    def close(self) -> None:
        for role in self._roles:
            role.close()


ROLES = {
    keys.INFERENCE: ("worker.inference.role",),
    keys.TRAINING: ("worker.training.job.role",),
    keys.DATASETS: ("worker.datasets.role", "worker.importing.role"),
}
"""Queue → the modules that `open_role` imports."""


def open_role(queue: str, settings: Settings, heartbeat: Heartbeat, running: RunningJobs) -> Role:
    """The roles are imported here and not above: torch takes seconds to import, and users are to be told meanwhile."""
    if queue == keys.INFERENCE:
        from worker.inference.role import InferenceRole

        return InferenceRole(settings, heartbeat, lambda reason: leave(reason, heartbeat, running))
    if queue == keys.TRAINING:
        from worker.training.job.role import TrainingRole

        return TrainingRole(settings, heartbeat)
    from worker.datasets.role import DatasetsRole
    from worker.importing.role import ImportingRole

    return JoinedRole(DatasetsRole(settings, heartbeat), ImportingRole(settings))


def main() -> None:
    parser = argparse.ArgumentParser(prog="vireo-worker", description=__doc__)
    parser.add_argument("--queue", choices=sorted(TASKS), default=keys.INFERENCE)
    use_safe_path()
    queue: str = parser.parse_args().queue
    settings = get_settings()
    configure_logs(settings)
    limit_heaps(max(usable_cores(), _FEWEST_HEAPS))
    life = become_worker(lambda: load_role(queue), lambda: announce_loading(queue, settings))
    configure_tracing(f"vireo-worker-{queue}")
    try:
        open_data_of(settings, migrate=False)
    except IncompatibleData as error:
        raise SystemExit(str(error)) from None
    if settings.metrics_port:
        export_metrics(settings.metrics_port, settings.host)
    run(queue, settings, life)


def load_role(queue: str) -> None:
    for name in ROLES[queue]:
        importlib.import_module(name)


def announce_loading(queue: str, settings: Settings) -> None:
    client = connect(settings.jobs_redis, decode=True)
    heartbeat = Heartbeat(client, JobBook(client, queue), RunningJobs())
    heartbeat.update(detail="importing torch" if queue == keys.INFERENCE else "starting")
    heartbeat.start()
    until_terminated()
    heartbeat.stop()


def run(queue: str, settings: Settings, life: Life) -> None:
    client = connect(settings.jobs_redis, decode=True)
    running = RunningJobs()
    store = Store.from_settings(settings)
    book = JobBook(client, queue, settings.lease_seconds, Payloads(store, settings.job_inline_bytes), life.name)
    heartbeat = Heartbeat(client, book, running)
    heartbeat.update(detail="starting")
    heartbeat.start()
    try:
        serve(settings, book, running, heartbeat, life)
    finally:
        heartbeat.stop()
        if _leaving.is_set():
            os._exit(EXIT_DEVICE_FAILED)  # the end of the interpreter would wait for the broken device


def export_metrics(port: int, host: str) -> None:
    """A port that is taken costs the metrics and not the worker: it is said in the log."""
    try:
        start_http_server(port, addr=host)
    except OSError as error:
        log.warning("this worker exports no metrics: port %d on %s cannot be used (%s)", port, host, error.strerror)


def serve(settings: Settings, book: JobBook, running: RunningJobs, heartbeat: Heartbeat, life: Life) -> None:
    role = open_role(book.queue, settings, heartbeat, running)
    stopped = threading.Event()
    upkeep = store_upkeep(Store.from_settings(settings), settings.spool_check_seconds)
    client = connect(settings.jobs_redis, decode=True)
    try:
        app = celery_app(settings)
        handlers = role.handlers

        @app.task(name=TASKS[book.queue])
        def work(message: str) -> None:
            if again := run_job(handlers, book, running, message):
                send_again(again, send)

        def send(job_id: str) -> None:
            send_job(client, job_id, book.queue)

        book.send = send
        start_thread("cancellations", running.listen, connect(settings.jobs_redis, decode=True), stopped)
        start_thread("confinement", announce_confinement, heartbeat)
        start_thread("store", announce_store, settings, heartbeat, stopped)
        start_thread("reaper", Reaper(book, send, life.died).run, stopped)
        upkeep.start()
        role.announce()
        consume(app, book.queue, role.concurrency, settings, running)
    finally:
        stopped.set()
        upkeep.stop()
        role.close()


def send_again(job: PutBack, send: Callable[[str], None]) -> None:
    """A delay takes no thread of the pool. The reaper of another worker sends the message if this process ends
    before."""
    if not job.delay:
        send(job.job_id)
        return
    timer = threading.Timer(job.delay, send, [job.job_id])
    timer.daemon = True
    timer.start()


def announce_confinement(heartbeat: Heartbeat) -> None:
    missing = find_missing_guards()
    for sentence in missing:
        log.warning("%s", sentence)
    heartbeat.update(unconfined=missing)


def announce_store(settings: Settings, heartbeat: Heartbeat, stopped: threading.Event) -> None:
    """Announce the id of this worker's store: the gateway compares it with its own."""
    store = Store.from_settings(settings)
    announced = None
    while not stopped.is_set():
        try:
            if (found := store_id(store)) != announced:
                heartbeat.update(store=found)
                announced = found
        except (VireoError, OSError, ValueError) as error:
            log.warning("the store's id cannot be read: %s", error)
        stopped.wait(STORE_SECONDS)


def leave(reason: str, heartbeat: Heartbeat, running: RunningJobs) -> None:
    """End this process, so that its supervisor starts a new one. The running jobs go back into the queue."""
    _leaving.set()
    force = threading.Timer(LEAVE_SECONDS, os._exit, [EXIT_DEVICE_FAILED])
    force.daemon = True
    force.start()  # the leases of jobs whose threads hang run out
    celery_state.should_stop = EXIT_DEVICE_FAILED  # type: ignore[assignment]
    running.release_all()
    error = WorkerUnavailable(f"The inference worker starts again: {reason}.", hint="Try again in half a minute.")
    heartbeat.update(state="failed", detail=f"starts again: {reason}", error=error.to_dict())


def start_thread(name: str, target: Callable[..., None], *args: object) -> None:
    threading.Thread(target=target, name=name, args=args, daemon=True).start()


def consume(app: Celery, queue: str, concurrency: int, settings: Settings, running: RunningJobs) -> None:
    """Blocks until SIGTERM or SIGINT."""
    if queue != keys.INFERENCE:  # an answer takes a second to finish, a run takes hours

        def release_jobs(**_: Any) -> None:
            start_thread("release", running.release_all)

        worker_shutting_down.connect(release_jobs, weak=False)
    if settings.log_level != "debug":  # "Task … received", which each answer would wait for
        logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
    options = ["--pool=threads", f"--concurrency={concurrency}", f"--queues={queue}"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", f"--loglevel={settings.log_level}"]
    app.worker_main(["--quiet", "worker", *options, *quiet])  # without the banner
