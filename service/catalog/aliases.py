"""Aliases of fine-tuned models: the version that each points to, what it is compared with, and its shadow."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable

from redis.asyncio import Redis
from redis.asyncio.lock import Lock

from core.comparison.paired import Comparison, compare_hits, read_hits
from core.errors import Conflict, InvalidRequest, NotFound, UnknownModel
from core.registry import PREDICTIONS, Alias, Card, Registry, Shadow, Version
from core.state.project_keys import ProjectKeys
from core.state.shadow_counts import Pair, ShadowCounts, read_counts
from core.storage import Store
from core.training_requests import MODEL_NAME_PATTERN, ComparisonRequest
from service.bodies.schemas import AliasView, Links, ShadowView
from service.bodies.validation import similar_names
from service.http.conditions import ANY, Conditions, version_tag

_NAME = re.compile(MODEL_NAME_PATTERN)
_LOCK_SECONDS = 30.0  # far longer than a write to the store takes
_LISTED = 50  # pairs of labels in which a shadow differed


class Aliases:
    """Raises RedisError while Redis cannot be reached, StorageUnavailable while the store cannot."""

    def __init__(self, redis: Redis, store: Store, registry: Registry) -> None:
        self._redis = redis
        self._store = store
        self._registry = registry

    async def set(self, name: str, alias: str, version: int, conditions: Conditions = ANY) -> str:
        """The alias's entity tag. Raises: UnknownModel; PreconditionFailed; InvalidRequest for a malformed alias."""
        if not _NAME.fullmatch(alias):
            raise InvalidRequest(
                f"{alias[:80]!r} cannot be an alias.",
                hint="An alias has at most 63 small letters, digits, '.', '_' and '-'.",
                field="alias",
            )
        check_model_name(name)
        async with self._changing(name):
            if conditions != ANY:
                found = await asyncio.to_thread(self._registry.alias, name, alias)
                conditions.check(None if found is None else tag_of(found))
            await asyncio.to_thread(self._registry.set_alias, name, alias, version)
            return tag_of(await self._find(name, alias))

    async def get(self, name: str, alias: str) -> tuple[AliasView, str]:
        """The alias and its entity tag. Raises: UnknownModel, NotFound."""
        found = await self._find(name, alias)
        links = Links(self=f"/v1/models/{name}/aliases/{alias}")
        return AliasView(model=name, alias=alias, version=found.version, shadow=found.shadow, links=links), tag_of(
            found
        )

    async def drop(self, name: str, alias: str, conditions: Conditions = ANY) -> None:
        """Raises: UnknownModel, NotFound, PreconditionFailed."""
        check_model_name(name)
        async with self._changing(name):
            conditions.check(tag_of(await self._find(name, alias)))
            await asyncio.to_thread(self._registry.drop_alias, name, alias)
        await self._redis.delete(*self._pair(name, alias).keys)

    async def compare(
        self, name: str, alias: str, candidate: str, card: Card | None, dataset: str | None
    ) -> Comparison | ComparisonRequest:
        """The candidate against the version of the alias, or the job that compares them. card: of a fine-tuned
        candidate; dataset: on whose held-out clips. Raises: UnknownModel, NotFound, Conflict if no dataset is known."""
        standing = Version(name, (await self._find(name, alias)).version)
        return await asyncio.to_thread(self._compare, candidate, card, standing, dataset)

    async def set_shadow(self, name: str, alias: str, shadow: Shadow) -> ShadowView:
        """Raises: UnknownModel, NotFound; InvalidRequest for the version that answers."""
        check_model_name(name)
        async with self._changing(name):
            found = await self._find(name, alias)
            if found.version == shadow.version:
                raise InvalidRequest(
                    f"{name}@{alias} is version {shadow.version} already, which answers.",
                    hint="A shadow is another version of the model.",
                    field="version",
                )
            await asyncio.to_thread(self._registry.set_shadow, name, alias, shadow)
        return await self.shadow(name, alias)

    async def shadow(self, name: str, alias: str) -> ShadowView:
        """The shadow of an alias, with what was counted of it. Raises: UnknownModel, NotFound."""
        found = await self._find(name, alias)
        if found.shadow is None:
            raise _no_shadow(name, alias)
        counts = await self._counts(self._pair(name, alias, found.version, found.shadow.version))
        return ShadowView(
            model=name,
            alias=alias,
            version=found.shadow.version,
            share=found.shadow.share,
            standing=found.version,
            counts=counts,
            links=Links(self=f"/v1/models/{name}/aliases/{alias}/shadow"),
        )

    async def drop_shadow(self, name: str, alias: str) -> None:
        """The counts stay: the same shadow goes on where it was. Raises: UnknownModel, NotFound."""
        check_model_name(name)
        async with self._changing(name):
            if (await self._find(name, alias)).shadow is None:
                raise _no_shadow(name, alias)
            await asyncio.to_thread(self._registry.set_shadow, name, alias, None)

    async def forget_counts(self, name: str, before: Iterable[str]) -> None:
        """Of the shadows of aliases that are gone. before: the aliases that there were."""
        now = await asyncio.to_thread(self._registry.aliases, name)
        if gone := [key for alias in before if alias not in now for key in self._pair(name, alias).keys]:
            await self._redis.delete(*gone)

    async def _counts(self, pair: Pair) -> ShadowCounts:
        counts, differences = pair.keys
        async with self._redis.pipeline(transaction=True) as together:
            together.hgetall(counts)
            together.hgetall(differences)
            found = await together.execute()
        return read_counts(pair, found[0], found[1], _LISTED)

    async def _find(self, name: str, alias: str) -> Alias:
        """Raises: UnknownModel, NotFound."""
        check_model_name(name)

        def find() -> Alias:
            self._registry.resolve(name)
            if found := self._registry.alias(name, alias):
                return found
            known = self._registry.aliases(name)
            raise NotFound(f"{name} has no alias {alias[:80]!r}.", nearest=similar_names(alias[:80], known))

        return await asyncio.to_thread(find)

    def _compare(
        self, candidate: str, card: Card | None, standing: Version, dataset: str | None
    ) -> Comparison | ComparisonRequest:
        other = self._registry.card(standing)
        if dataset is None and (found := self._compare_reports(candidate, card, other)):
            return found
        known = [each.dataset["id"] for each in (card, other) if each and each.dataset]
        if dataset is None and not known:
            raise Conflict(
                f"Neither {candidate} nor {standing} was judged on a dataset.",
                hint='Name a dataset whose held-out clips both are judged on: {"model": …, "dataset": "ds_…"}.',
            )
        return ComparisonRequest(candidate=candidate, standing=str(standing), dataset=dataset or known[0])

    def _compare_reports(self, candidate: str, card: Card | None, other: Card) -> Comparison | None:
        """From what the reports of the versions say about the same clips. None if there are none."""
        standing = f"{other.name}:{other.version}"
        if card is None:  # a model of the zoo, which the standing version may have been trained from
            return compare_hits(candidate, self._hits(other, candidate), standing, self._hits(other, standing))
        if (card.dataset or {}).get("digest", 0) == (other.dataset or {}).get("digest", 1):
            return compare_hits(candidate, self._hits(card, candidate), standing, self._hits(other, standing))
        return compare_hits(candidate, self._hits(card, candidate), standing, self._hits(card, standing))

    def _hits(self, card: Card, model: str) -> dict[str, bool]:
        """What the report of a version says about the answers of a model: of the version, or of its base."""
        own = f"{card.name}:{card.version}"
        if model not in (own, card.base):
            return {}
        predictions = self._store.read_text(f"{Version(card.name, card.version).key}/{PREDICTIONS}") or ""
        return read_hits(predictions, of="given" if model == own else "before")

    def _pair(self, name: str, alias: str, version: int = 0, shadow: int = 0) -> Pair:
        """Without versions it only has keys."""
        return Pair(name, alias, version, shadow, self._store.project)

    def _changing(self, name: str) -> Lock:
        """The store cannot compare and set, so one gateway at a time changes the aliases of a model."""
        lock = ProjectKeys(self._store.project).alias_lock(name)
        return self._redis.lock(lock, timeout=_LOCK_SECONDS, blocking_timeout=_LOCK_SECONDS)


def tag_of(alias: Alias) -> str:
    """The entity tag of what an alias means."""
    if alias.shadow is None:
        return version_tag(alias.version)
    return f'"{alias.version}-{alias.shadow.version}-{alias.shadow.share:g}"'


def check_model_name(name: str) -> None:
    """Raises: UnknownModel for what no fine-tuned model can be named."""
    if not _NAME.fullmatch(name):
        raise UnknownModel(f"There is no model {name[:80]!r}.", hint="GET /v1/models lists the models.")


def _no_shadow(name: str, alias: str) -> NotFound:
    return NotFound(
        f"{name}@{alias} has no shadow.",
        hint=f'PUT /v1/models/{name}/aliases/{alias}/shadow {{"version": …}} sets one.',
    )
