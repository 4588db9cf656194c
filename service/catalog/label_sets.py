"""Named label sets. Every PUT of new content makes a new version, and a version never changes.

A version number is never used twice, not even after a deletion, so `name:3` always means the same labels or nothing.
A read fetches one version, however many there are.
"""

from __future__ import annotations

import re
import time
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import WatchError

from core.errors import Conflict, InvalidRequest, UnknownLabelSet
from core.questions import Options, QuestionLimits, check_labels, check_options
from core.records import LabelSet
from core.state.project_keys import ProjectKeys
from service.bodies.schemas import LabelSetBody, LabelSetPage
from service.bodies.validation import similar_names
from service.http.conditions import ANY, Conditions, version_tag

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,99}$"

_NAME = re.compile(NAME_PATTERN)
_REFERENCE = re.compile(r"([^:]*)(?::([0-9]{1,9}))?")
_CURSOR = re.compile(r"[0-9]{1,9}")

# KEYS: label set, LABEL_SET_VERSIONS    ARGV: name    → the newest version as JSON, or nil
# It is the last one that was written, unless that one has been deleted.
_NEWEST = """
local last = redis.call('HGET', KEYS[2], ARGV[1])
local found = last and redis.call('HGET', KEYS[1], last)
if found then return found end
local newest = nil
for _, number in ipairs(redis.call('HKEYS', KEYS[1])) do
  if not newest or tonumber(number) > tonumber(newest) then newest = number end
end
return newest and redis.call('HGET', KEYS[1], newest)
"""


class LabelSets:
    def __init__(self, redis: Redis, limits: QuestionLimits, max_versions: int, project: str) -> None:
        """`max_versions`: most versions of one set. Every method raises RedisError while Redis cannot be reached."""
        self._redis = redis
        self._own = ProjectKeys(project)
        self._limits = limits
        self._max_versions = max_versions
        self._newest_script = redis.register_script(_NEWEST)

    async def get(self, reference: str) -> LabelSet:
        """`name` (its newest version) or `name:version`. Raises: UnknownLabelSet."""
        name, number = await self._parse(reference)
        found = await self._newest(name) if number is None else await self._read(name, number)
        if found is None:
            raise await self._unknown(reference)
        return found

    async def versions(self, name: str, cursor: str | None, limit: int) -> LabelSetPage:
        """Newest first. Raises: UnknownLabelSet; InvalidRequest for a malformed cursor."""
        if cursor is not None and not _CURSOR.fullmatch(cursor):
            raise InvalidRequest("cursor is not valid.", hint="Send the `next` of the page before.", field="cursor")
        numbers = await self._numbers(name)
        if not numbers:
            raise await self._unknown(name)
        rest = [number for number in numbers if cursor is None or number < int(cursor)]
        shown = rest[:limit]
        texts = await self._redis.hmget(self._own.label_set(name), [str(number) for number in shown]) if shown else []
        return LabelSetPage(
            data=[_version(text) for text in texts if text],  # None: it was deleted meanwhile
            next=str(shown[-1]) if len(rest) > limit else None,
        )

    async def put(self, name: str, body: LabelSetBody, conditions: Conditions = ANY) -> tuple[LabelSet, bool]:
        """The version that holds this content now, and whether it is new.

        Raises: InvalidRequest, InvalidLabels; PreconditionFailed; Conflict where the set has too many versions.
        """
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                f"{name[:80]!r} is no name for a label set.",
                hint="Letters, digits, '.', '_' and '-'; at most 100, the first a letter or digit.",
                field="name",
            )
        check_labels(body.labels, self._limits, body.templates)
        check_options(Options(templates=body.templates), self._limits)
        while True:
            try:
                return await self._try_to_put(name, body, conditions)
            except WatchError:
                continue  # another request wrote at the same moment: try again

    async def delete(self, reference: str, conditions: Conditions = ANY) -> None:
        """Delete all versions of `name`, or the one that `name:version` means.

        Raises: UnknownLabelSet, PreconditionFailed.
        """
        name, number = await self._parse(reference)
        while True:
            try:
                deleted = await self._try_to_delete(name, number, conditions)
                break
            except WatchError:
                continue
        if not deleted:
            raise await self._unknown(reference)

    async def page(self, cursor: str | None, limit: int) -> LabelSetPage:
        """The newest version of each set, by name."""
        names = sorted(name for name in await self._names() if cursor is None or name > cursor)
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in names[:limit]:
                await self._newest_script(keys=self._newest_keys(name), args=[name], client=pipe)
            texts = cast(list[str | None], await pipe.execute())
        return LabelSetPage(
            data=[_version(text) for text in texts if text],  # None: it was deleted meanwhile
            next=names[limit - 1] if len(names) > limit else None,
        )

    async def _try_to_put(self, name: str, body: LabelSetBody, conditions: Conditions) -> tuple[LabelSet, bool]:
        async with self._redis.pipeline() as pipe:
            await pipe.watch(self._own.label_set(name))
            newest = await self._newest(name)
            conditions.check(etag(newest) if newest else None)
            if newest and _content(newest) == _content(body):
                return newest, False
            if await self._redis.hlen(self._own.label_set(name)) >= self._max_versions:
                raise Conflict(
                    f"The label set {name!r} has {self._max_versions} versions, which is the limit.",
                    hint=f"Delete old ones with DELETE /v1/label-sets/{name}/versions/1, or raise "
                    "VIREO_MAX_LABEL_SET_VERSIONS.",
                    limit=self._max_versions,
                )
            number = int(await self._redis.hget(self._own.label_set_versions, name) or 0) + 1
            written = LabelSet(name=name, version=number, created_at=time.time(), **dict(body))
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.hset(self._own.label_set(name), str(number), written.model_dump_json())
            pipe.hset(self._own.label_set_versions, name, str(number))
            pipe.sadd(self._own.label_sets, name)
            await pipe.execute()
            return written, True

    async def _try_to_delete(self, name: str, number: int | None, conditions: Conditions) -> bool:
        """Whether there was anything to delete."""
        async with self._redis.pipeline() as pipe:
            await pipe.watch(self._own.label_set(name))
            numbers = await self._numbers(name)
            if not numbers or number not in (None, *numbers):
                return False
            conditions.check(version_tag(numbers[0] if number is None else number))
            pipe.multi()  # type: ignore[no-untyped-call]
            if number is None or numbers == [number]:
                pipe.delete(self._own.label_set(name))
                pipe.srem(self._own.label_sets, name)
            else:
                pipe.hdel(self._own.label_set(name), str(number))
            await pipe.execute()
            return True

    async def _parse(self, reference: str) -> tuple[str, int | None]:
        """Name and version; no version for the newest. Raises: UnknownLabelSet for a malformed reference."""
        match = _REFERENCE.fullmatch(reference)
        if not match:
            raise await self._unknown(reference)
        return match[1], int(match[2]) if match[2] else None

    async def _read(self, name: str, number: int) -> LabelSet | None:
        text = cast(str | None, await self._redis.hget(self._own.label_set(name), str(number)))
        return _version(text) if text else None

    async def _newest(self, name: str) -> LabelSet | None:
        text = cast(str | None, await self._newest_script(keys=self._newest_keys(name), args=[name]))
        return _version(text) if text else None

    def _newest_keys(self, name: str) -> list[str]:
        return [self._own.label_set(name), self._own.label_set_versions]

    async def _numbers(self, name: str) -> list[int]:
        """Numbers of the versions, the newest first. Empty if there is no such set."""
        return sorted((int(number) for number in await self._redis.hkeys(self._own.label_set(name))), reverse=True)

    async def _names(self) -> set[str]:
        return cast(set[str], await self._redis.smembers(self._own.label_sets))

    async def _unknown(self, reference: str) -> UnknownLabelSet:
        name, _, number = reference.partition(":")
        if numbers := await self._numbers(name):
            return UnknownLabelSet(
                f"The label set {name!r} has no version {number[:20]}.",
                hint=f"GET /v1/label-sets/{name}/versions lists its versions.",
                nearest=[f"{name}:{known}" for known in numbers[:3]],
            )
        return UnknownLabelSet(
            f"There is no label set {reference[:120]!r}.",
            hint="GET /v1/label-sets lists the label sets.",
            nearest=similar_names(name[:120], await self._names()),
        )


def etag(label_set: LabelSet) -> str:
    """The entity tag of a version. A number is never used twice, so it stands for the content."""
    return version_tag(label_set.version)


def _version(text: str | bytes) -> LabelSet:
    """A newer gateway may have written fields that this one does not know."""
    return LabelSet.model_validate_json(text, extra="ignore")


def _content(of: LabelSet | LabelSetBody) -> tuple[object, ...]:
    return (of.labels, of.templates, of.description)
