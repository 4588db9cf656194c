from __future__ import annotations

import base64
import json
import socket
from typing import get_args

import redis

from core.records import JobKind
from core.settings import Settings
from core.state import keys
from core.state.queues import QUEUES, TASKS, broker_url, celery_app, send_job

OPTIONS = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)


def test_unix_sockets_are_spelled_as_the_broker_expects() -> None:
    assert broker_url("unix:///run/redis.sock") == "redis+socket:///run/redis.sock"
    assert broker_url("redis://host:1/0") == "redis://host:1/0"


def test_messages_are_json_and_wait_in_the_queue_until_a_worker_is_free() -> None:
    conf = celery_app(Settings(redis_url="redis://host:1/0")).conf
    assert conf.accept_content == ["json"]
    assert conf.task_acks_late is True
    assert conf.worker_prefetch_multiplier == 1
    assert conf.broker_transport_options["ack_emulation"] is False


def test_a_message_is_what_celery_would_send(redis_url: str) -> None:
    records = redis.Redis.from_url(redis_url, decode_responses=True)
    with celery_app(Settings(redis_url=redis_url)) as app:
        app.send_task(TASKS["training"], ["job_1"], task_id="job_1", queue="training", ignore_result=True)
    theirs = json.loads(str(records.rpop("training")))
    send_job(records, "job_1", "training")
    ours = json.loads(str(records.rpop("training")))
    bodies = [json.loads(base64.b64decode(message.pop("body"))) for message in (theirs, ours)]
    assert bodies[0] == bodies[1]
    tags = [message["properties"].pop("delivery_tag") for message in (theirs, ours)]
    assert len(set(tags)) == 2
    known = ours["headers"]
    assert {name: value for name, value in theirs["headers"].items() if name in known} == known
    assert theirs["properties"].pop("reply_to")  # where a result would go: results are in the job's record
    assert ours["properties"] == theirs["properties"]
    assert {name: ours[name] for name in ours if name != "headers"} == {
        name: theirs[name] for name in theirs if name != "headers"
    }


def test_the_kernel_is_told_to_notice_within_half_a_minute_that_the_host_of_redis_has_vanished() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        options = celery_app(Settings(redis_url="redis://host:1/0")).conf.broker_transport_options
        options = {name: value for name, value in options.items() if name.startswith("socket_")}
        with redis.Connection(port=server.getsockname()[1], **options)._connect() as opened:  # type: ignore[no-untyped-call]
            assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            idle, between, count, unanswered = (opened.getsockopt(socket.IPPROTO_TCP, option) for option in OPTIONS)
    assert idle + between * count <= 30
    assert unanswered == 30_000


def test_each_kind_has_a_queue_and_each_queue_a_task() -> None:
    assert set(QUEUES) == set(get_args(JobKind))
    assert set(QUEUES.values()) == set(TASKS)
    questions = {"classification", "embedding", "explanation", "frames", "search", "indexing", "label_check", "batch"}
    assert {kind for kind, queue in QUEUES.items() if queue == keys.INFERENCE} == questions
    assert {kind for kind, queue in QUEUES.items() if queue == keys.TRAINING} == {
        "training",
        "preview",
        "evaluation",
        "comparison",
        "calibration",
    }
    assert len(set(TASKS.values())) == len(TASKS)
