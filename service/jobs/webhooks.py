"""Webhooks: the end of a job is sent to a URL, signed as the Standard Webhooks specification says, until its server
confirms it. Here: which jobs have one, how a message is signed, and what follows from an attempt.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from typing import Final

from pydantic import SecretStr
from redis.asyncio import Redis

from core.records import Delivery, Webhook
from core.state import keys

DELAYS: Final = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)  # seconds from each failed attempt to the next


async def watch(redis: Redis, job_id: str) -> None:
    """Announce the end of this job, which has a webhook: the sorted set says when to look at it."""
    await redis.zadd(keys.WEBHOOKS, {job_id: time.time()})


async def start_again(redis: Redis, job_id: str, webhook: Webhook) -> None:
    """Announce the next end of a job that is resumed. Its attempts so far do not count."""
    await redis.hset(keys.job(job_id), "webhook", Webhook(url=webhook.url).model_dump_json())
    await watch(redis, job_id)


def signed(message_id: str, timestamp: int, content: bytes, secret: SecretStr) -> dict[str, str]:
    """The headers of a message, by Standard Webhooks: an HMAC-SHA256 over its id, the time and its body."""
    signature = hmac.new(_key(secret), f"{message_id}.{timestamp}.".encode() + content, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def _key(secret: SecretStr) -> bytes:
    """`whsec_` is followed by the key in base64; other texts are the key."""
    text = secret.get_secret_value()
    if text.startswith("whsec_"):
        try:
            return base64.b64decode(text.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            pass
    return text.encode()


def after(webhook: Webhook, delivery: Delivery) -> Webhook:
    """The webhook with one more attempt."""
    made = len(webhook.deliveries)
    deliveries = (*webhook.deliveries, delivery)
    if delivery.error is None:
        return Webhook(url=webhook.url, state="delivered", deliveries=deliveries)
    if delivery.status == 410 or made >= len(DELAYS):
        return Webhook(url=webhook.url, state="failed", deliveries=deliveries)
    return Webhook(url=webhook.url, next_at=time.time() + DELAYS[made], deliveries=deliveries)
