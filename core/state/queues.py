"""The queues of the job kinds, and the Celery application that both ends of a queue use.

A message holds only a job id; the request is in the job's record. A message may be lost or delivered twice without
harm: `START` in `core.state.steps` lets exactly one worker start the job, and the reaper resends unstarted jobs.
"""

from __future__ import annotations

import base64
import json
import socket
from uuid import uuid4

import redis
from celery import Celery

from core.records import JobKind
from core.settings import Settings
from core.state import keys

QUEUES: dict[JobKind, str] = {
    "classification": keys.INFERENCE,
    "embedding": keys.INFERENCE,
    "explanation": keys.INFERENCE,
    "frames": keys.INFERENCE,
    "search": keys.INFERENCE,
    "indexing": keys.INFERENCE,
    "label_check": keys.INFERENCE,
    "batch": keys.INFERENCE,
    "training": keys.TRAINING,
    "preview": keys.TRAINING,
    "evaluation": keys.TRAINING,
    "comparison": keys.TRAINING,
    "calibration": keys.TRAINING,
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

_VANISHED_HOST = {
    getattr(socket, name): value
    for name, value in {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}.items()
    if hasattr(socket, name)  # macOS lacks some
}
"""A host that vanishes without closing its connections is noticed within half a minute. A worker waits for messages
without a limit of time, so nothing else would notice it for hours."""


def broker_url(redis_url: str) -> str:
    """The Redis URL as Celery spells it: a unix socket is `redis+socket://`, which is `unix://` in redis-py."""
    return redis_url.replace("unix://", "redis+socket://", 1) if redis_url.startswith("unix://") else redis_url


def celery_app(settings: Settings) -> Celery:
    app = Celery("vireo", broker=broker_url(settings.jobs_redis))
    app.conf.update(
        task_default_queue=keys.INFERENCE,
        task_ignore_result=True,  # results are in the job record
        task_serializer="json",
        accept_content=["json"],
        # A worker takes no more messages than it has threads: the others wait in the queue, where any worker can take
        # them. `worker_disable_prefetch` promises the same, but then a full worker looks for messages once a second.
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A full Redis refuses the bookkeeping of a message. The worker connects again instead of ending; the message
        # may be lost then, and the reaper sends it again.
        broker_channel_error_retry=True,
        broker_transport_options={
            # kombu would write each message that a worker has taken into Redis before the task starts, and delete it
            # afterwards. Leases and the reaper know the jobs of a worker that died.
            "ack_emulation": False,
            "socket_keepalive": True,
            "socket_keepalive_options": _VANISHED_HOST,
        },
    )
    return app


def message_for(job_id: str, queue: str) -> str:
    """What `app.send_task(TASKS[queue], [job_id], task_id=job_id, queue=queue)` would put into Redis: a message of
    Celery's protocol 2 in kombu's envelope. kombu takes four times as long for it as Redis does for the rest of a job's
    creation. `RESEND` in `core.state.steps` recognises a message by the id in its headers."""
    body = [[job_id], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    message = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": TASKS[queue],
            "id": job_id,
            "root_id": job_id,
            "parent_id": None,
            "group": None,
            "retries": 0,
            "timelimit": [None, None],
            "ignore_result": True,
        },
        "properties": {
            "correlation_id": job_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }
    return json.dumps(message)


def send_job(client: redis.Redis, job_id: str, queue: str) -> None:
    """Put a job on its queue. Raises: redis.RedisError."""
    client.lpush(queue, message_for(job_id, queue))
