"""`python -m worker`: one inference worker process, threads inside, decode children beside it.

Order of start: heartbeat (so that the gateway can say why it waits) ▸ torch and the model ▸ Celery. SIGTERM finishes
the jobs in hand and leaves the rest in the queue.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from celery import Celery
from prometheus_client import start_http_server

from core import keys
from core.errors import VireoError
from core.queues import TASKS, celery_app
from core.settings import Settings, get_settings
from worker.cancellation import Cancellations
from worker.connection import connect
from worker.heartbeat import Heartbeat
from worker.jobs import JobBook
from worker.reaper import Reaper

if TYPE_CHECKING:
    from worker.runtime import Runtime

RETRY_SECONDS = 31.0  # just after the shelf is willing to try a failed model again


def main() -> None:
    settings = get_settings()
    logging.basicConfig(
        level=settings.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if settings.metrics_port:
        start_http_server(settings.metrics_port, addr=settings.host)
    client = connect(settings.jobs_redis, decode=True)
    running = Cancellations()
    book = JobBook(client, keys.INFERENCE)
    heartbeat = Heartbeat(client, book, running)
    heartbeat.say(detail="importing torch")
    heartbeat.start()
    try:
        serve(settings, book, running, heartbeat)
    finally:
        heartbeat.stop()


def serve(settings: Settings, book: JobBook, running: Cancellations, heartbeat: Heartbeat) -> None:
    # Here and not above: torch takes seconds to import, and the heartbeat should already tell of it.
    from worker.runtime import Runtime
    from worker.tasks import run_job

    def progress(detail: str) -> None:
        heartbeat.say(detail=detail)

    runtime = Runtime.open(settings, progress)
    stopped = threading.Event()
    try:
        app = celery_app(settings)

        @app.task(name=TASKS[keys.INFERENCE])
        def infer(job_id: str) -> None:
            run_job(runtime, book, running, job_id)

        reaper = Reaper(book, lambda job_id: app.send_task(TASKS[keys.INFERENCE], [job_id]))
        start("cancellations", running.listen, connect(settings.jobs_redis, decode=True), stopped)
        start("reaper", reaper.run, stopped)
        if not announce(runtime, heartbeat, settings):
            start("model", keep_trying, runtime, heartbeat, settings, stopped)
        consume(app, settings)
    finally:
        stopped.set()
        runtime.close()


def start(name: str, target: Callable[..., None], *args: object) -> None:
    threading.Thread(target=target, name=name, args=args, daemon=True).start()


def announce(runtime: Runtime, heartbeat: Heartbeat, settings: Settings) -> bool:
    """Load the default model and say what this worker can do. One that cannot be had is announced as such, and the
    worker serves the others meanwhile."""
    from models import zoo

    try:
        loaded = runtime.shelf.get(None)
    except VireoError as error:
        heartbeat.say(state="failed", detail=error.message, error=error.to_dict(), models=zoo.names(settings.data_dir))
        return False
    heartbeat.say(
        state="ready",
        detail=f"{loaded.ref.name} is loaded",
        error=None,
        model=loaded.ref,
        models=zoo.names(settings.data_dir),
        device=str(loaded.recognizer.device),
        precision=loaded.recognizer.precision,
    )
    return True


def keep_trying(runtime: Runtime, heartbeat: Heartbeat, settings: Settings, stopped: threading.Event) -> None:
    """A hub may come back, a weights file may be put in place: no restart should be needed."""
    while not stopped.wait(RETRY_SECONDS):
        if announce(runtime, heartbeat, settings):
            return


def consume(app: Celery, settings: Settings) -> None:
    """Blocks until SIGTERM or SIGINT."""
    options = ["--pool=threads", f"--concurrency={settings.worker_threads}", f"--queues={keys.INFERENCE}"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", f"--loglevel={settings.log_level}"]
    app.worker_main(["worker", *options, *quiet])


if __name__ == "__main__":
    main()
