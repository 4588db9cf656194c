"""The Celery application, as both ends of the queue see it: a name, a broker, and messages that are only job ids.

What a job asks stands in its record, not in the message: a message may be lost or doubled without harm, because
`start` in `core.state.lifecycle` lets exactly one worker through and the reaper sends again what nobody started.
"""

from __future__ import annotations

from celery import Celery

from core.settings import Settings
from core.state import keys

TASKS = {
    keys.INFERENCE: "vireo.infer",
    keys.TRAINING: "vireo.train",
    keys.DATASETS: "vireo.dataset",
}
"""Queue → the task that its workers answer to."""


def broker_url(redis_url: str) -> str:
    """Celery's spelling of a Redis URL (a unix socket is `redis+socket://` there, `unix://` in redis-py)."""
    return redis_url.replace("unix://", "redis+socket://", 1) if redis_url.startswith("unix://") else redis_url


def celery_app(settings: Settings) -> Celery:
    app = Celery("vireo", broker=broker_url(settings.jobs_redis))
    app.conf.update(
        task_default_queue=keys.INFERENCE,
        task_ignore_result=True,  # results live in the job record
        task_acks_late=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # Longer than any inference; a worker's death is noticed by its lease long before. The tasks of the other queues
        # acknowledge when they start (a redelivered message would find its job started, and change nothing).
        broker_transport_options={"visibility_timeout": 600, "socket_keepalive": True},
    )
    return app
