"""The queues of the job kinds, and the Celery application that both ends of a queue use.

A message holds only a job id; the request is in the job's record. A message may be lost or delivered twice without
harm: `START` in `core.state.lifecycle` lets exactly one worker start the job, and the reaper resends unstarted jobs.
"""

from __future__ import annotations

from celery import Celery

from core.records import JobKind
from core.settings import Settings
from core.state import keys

QUEUES: dict[JobKind, str] = {
    "classify": keys.INFERENCE,
    "embed": keys.INFERENCE,
    "training": keys.TRAINING,
    "evaluation": keys.TRAINING,
    "dataset": keys.DATASETS,
    "import": keys.DATASETS,
}
"""Job kind → the queue that its jobs wait in."""

TASKS = {
    keys.INFERENCE: "vireo.infer",
    keys.TRAINING: "vireo.train",
    keys.DATASETS: "vireo.dataset",
}
"""Queue → the Celery task that its workers run."""


def broker_url(redis_url: str) -> str:
    """The Redis URL as Celery spells it: a unix socket is `redis+socket://`, which is `unix://` in redis-py."""
    return redis_url.replace("unix://", "redis+socket://", 1) if redis_url.startswith("unix://") else redis_url


def celery_app(settings: Settings) -> Celery:
    app = Celery("vireo", broker=broker_url(settings.jobs_redis))
    app.conf.update(
        task_default_queue=keys.INFERENCE,
        task_ignore_result=True,  # results are in the job record
        task_acks_late=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # Longer than any inference. A worker's death is noticed much earlier, when its lease expires. The tasks of the
        # other queues acknowledge when they start; a message that is delivered again finds its job started.
        broker_transport_options={"visibility_timeout": 600, "socket_keepalive": True},
    )
    return app
