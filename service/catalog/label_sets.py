"""Named label sets. Every PUT of new content makes a new version, and a version never changes.

A version number is never used twice, not even after a deletion, so `name:3` always means the same labels or nothing.
"""

from __future__ import annotations

import re
import time
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import WatchError

from core.errors import InvalidRequest, UnknownLabelSet
from core.questions import Options, QuestionLimits, check_labels, check_options
from core.records import LabelSet
from core.state import keys
from service.bodies.schemas import LabelSetBody, LabelSetPage
from service.bodies.validation import similar_names

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_REFERENCE = re.compile(r"([^:]*)(?::([0-9]{1,9}))?")


class LabelSets:
    def __init__(self, redis: Redis, limits: QuestionLimits) -> None:
        self._redis = redis
        self._limits = limits

    async def get(self, reference: str) -> LabelSet:
        """`name` (its latest version) or `name:version`. Raises: UnknownLabelSet."""
        match = _REFERENCE.fullmatch(reference)
        versions = await self._versions(match[1]) if match else {}
        if not match or not versions:
            raise await self._unknown(reference)
        number = int(match[2]) if match[2] else max(versions)
        if number not in versions:
            raise UnknownLabelSet(
                f"The label set {match[1]!r} has no version {number}.",
                nearest=[f"{match[1]}:{known}" for known in sorted(versions, reverse=True)[:3]],
            )
        return versions[number]

    async def versions(self, name: str) -> LabelSetPage:
        """Newest first. Raises: UnknownLabelSet."""
        versions = await self._versions(name)
        if not versions:
            raise await self._unknown(name)
        return LabelSetPage(data=[versions[number] for number in sorted(versions, reverse=True)])

    async def put(self, name: str, body: LabelSetBody) -> tuple[LabelSet, bool]:
        """The version that holds this content now, and whether it is new. Raises: InvalidRequest, InvalidLabels."""
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                f"{name[:80]!r} is no name for a label set.",
                hint="Letters, digits, '.', '_' and '-'; at most 100, the first a letter or digit.",
                field="name",
            )
        check_labels(body.labels, self._limits)
        check_options(Options(templates=body.templates), self._limits)
        while True:
            try:
                return await self._try_to_put(name, body)
            except WatchError:
                continue  # another request wrote at the same moment: try again

    async def delete(self, name: str) -> None:
        """Delete all versions. Raises: UnknownLabelSet."""
        async with self._redis.pipeline() as pipe:
            pipe.delete(keys.label_set(name))
            pipe.srem(keys.LABEL_SETS, name)
            if not (await pipe.execute())[0]:
                raise await self._unknown(name)

    async def page(self, cursor: str | None, limit: int) -> LabelSetPage:
        """The latest version of each set, by name."""
        names = sorted(name for name in await self._names() if cursor is None or name > cursor)
        shown = [await self._versions(name) for name in names[:limit]]
        more = len(names) > limit
        return LabelSetPage(data=[v[max(v)] for v in shown if v], next=names[limit - 1] if more else None)

    async def _try_to_put(self, name: str, body: LabelSetBody) -> tuple[LabelSet, bool]:
        async with self._redis.pipeline() as pipe:
            await pipe.watch(keys.label_set(name), keys.LABEL_SET_VERSIONS)
            versions = await self._versions(name)
            if versions:
                latest = versions[max(versions)]
                if _content(latest) == _content(body):
                    return latest, False
            number = int(await self._redis.hget(keys.LABEL_SET_VERSIONS, name) or 0) + 1
            written = LabelSet(name=name, version=number, created_at=time.time(), **dict(body))
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.hset(keys.label_set(name), str(number), written.model_dump_json())
            pipe.hset(keys.LABEL_SET_VERSIONS, name, str(number))
            pipe.sadd(keys.LABEL_SETS, name)
            await pipe.execute()
            return written, True

    async def _versions(self, name: str) -> dict[int, LabelSet]:
        fields = cast(dict[str, str], await self._redis.hgetall(keys.label_set(name)))
        return {int(number): LabelSet.model_validate_json(text) for number, text in fields.items()}

    async def _names(self) -> set[str]:
        return cast(set[str], await self._redis.smembers(keys.LABEL_SETS))

    async def _unknown(self, reference: str) -> UnknownLabelSet:
        return UnknownLabelSet(
            f"There is no label set {reference[:120]!r}.",
            hint="GET /v1/label-sets lists the label sets.",
            nearest=similar_names(reference.partition(":")[0], await self._names()),
        )


def _content(of: LabelSet | LabelSetBody) -> tuple[object, ...]:
    return (of.labels, of.templates, of.description)
