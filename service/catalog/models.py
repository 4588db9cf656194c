"""Models: those that the workers announce (the zoo), and the fine-tuned ones in the registry.

A reference (`name`, `name:3`, `name@production`) is resolved here, once. The job gets the exact version, so its meaning
does not change if the alias moves while it waits.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from core.errors import Conflict, InvalidRequest, InvalidTraining, NotFound, UnknownModel
from core.records import Job, WorkerInfo
from core.registry import CARD, PREDICTIONS, REPORT, REPORT_PAGE, WEIGHTS, Card, Registry, Shadow, Version
from core.state.queues import TASKS
from core.vocabulary import PROMPT_METHODS, TEXT_METHODS, MethodName
from service.bodies.schemas import ModelDetail, ModelPage, ModelView
from service.bodies.validation import similar_names
from service.catalog.aliases import Aliases, check_model_name
from service.catalog.needs import check_unneeded
from service.http.downloads import LocalFile
from service.jobs.repository import Jobs
from service.ops import workers
from service.ops.workers import Workers

_FILES = (CARD, WEIGHTS, REPORT, REPORT_PAGE, PREDICTIONS, "architecture.json")
_FILE = re.compile("|".join([*map(re.escape, _FILES), r"[A-Za-z0-9_\-]+\.png"]))
_VERSION = re.compile(r"[a-z0-9][a-z0-9._\-]*:[0-9]+")


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """The model that a reference means."""

    name: str | None
    """The model in the job's request: None for the server's default, `name:version` for a fine-tuned model."""

    card: Card | None = None
    """The card of a fine-tuned model. With no name: of the server's default, which is not in the project's registry."""

    alias: str | None = None
    """The alias by which it was named."""

    shadow: Shadow | None = None
    """Of this alias."""


class Models:
    """Raises RedisError while Redis cannot be reached, StorageUnavailable while the store cannot."""

    def __init__(
        self, registry: Registry, live_workers: Workers, jobs: Jobs, aliases: Aliases, default: str, house: Registry
    ) -> None:
        """default: the setting `VIREO_MODEL`, which may name an alias; house: the registry that it is in, which is that
        of the default project."""
        self._registry = registry
        self._house = house
        self._workers = live_workers
        self._jobs = jobs
        self._aliases = aliases
        self._default = default

    async def resolve(self, ref: str | None, live: Sequence[WorkerInfo] | None = None) -> ResolvedModel:
        """The model that `ref` means; None means the server's default. `live`: the live inference workers, if they are
        known already. Raises: UnknownModel."""
        live = await self._workers.live() if live is None else live
        served = workers.served_names(live)
        if ref is None:
            # The server's default may be a fine-tuned version.
            default = next((worker.model.name for worker in live if worker.model), None)
            if default is None or not _VERSION.fullmatch(default):
                return ResolvedModel(None)
            if self._house is self._registry:
                return await self._read(default, self._default)
            # The workers have it for all projects, and only the default project can name its versions.
            return ResolvedModel(None, await asyncio.to_thread(self._house.resolve_card, default))
        if ref in served:
            return ResolvedModel(ref)
        try:
            return await self._read(ref)
        except UnknownModel as error:
            if (
                not served
                and ":" not in ref
                and "@" not in ref
                and not await asyncio.to_thread(self._registry.knows, ref)
            ):
                return ResolvedModel(ref)  # no worker is live to say whether it is a zoo model
            raise await self._unknown(ref, served, error) from None

    async def _read(self, ref: str, named: str | None = None) -> ResolvedModel:
        """named: how the model was named, if not by `ref`."""

        def read() -> ResolvedModel:
            card = self._registry.resolve_card(ref)
            name, _, alias = (named or ref).partition("@")
            shadow = None
            if alias and name == card.name:
                with suppress(UnknownModel):  # deleted meanwhile
                    shadow = self._registry.shadow_of(f"{name}@{alias}")
            return ResolvedModel(f"{card.name}:{card.version}", card, alias or None, shadow)

        return await asyncio.to_thread(read)

    async def card(self, version: Version) -> Card:
        """Raises: UnknownModel."""
        return await asyncio.to_thread(self._registry.card, version)

    async def _unknown(self, ref: str, served: set[str], error: UnknownModel) -> UnknownModel:
        names = {*served, *await asyncio.to_thread(self._registry.names)}
        if re.split("[:@]", ref)[0] in names:  # the error names the missing version or alias
            return error
        return UnknownModel(
            f"There is no model {ref[:80]!r}.",
            hint=f"The models are: {', '.join(sorted(names)) or 'none'}.",
            nearest=similar_names(ref, names),
        )

    async def check_new_name(self, name: str) -> None:
        """Raises: InvalidRequest for the name of a zoo model, which would hide the new model."""
        if name == "auto" or name in workers.served_names(await self._workers.live()):
            raise InvalidRequest(
                f"{name!r} is the name of a zoo model; choose another name.",
                hint=f"For example 'my-{name}'.",
                field="name",
            )

    async def page(self, cursor: str | None, limit: int) -> ModelPage:
        """The zoo, the default first; then fine-tuned models by name. Raises: InvalidRequest for a malformed cursor."""
        live = await self._workers.live()
        zoo = {_place(view): view for view in workers.served_models(live) if not _VERSION.fullmatch(view.name)}
        tuned = {(_TUNED, name): None for name in await asyncio.to_thread(self._registry.names)}
        after = _read_cursor(cursor)
        places = sorted(place for place in zoo | tuned if place > after)
        shown: list[ModelView] = []
        for group, name in places[:limit]:
            with suppress(UnknownModel):  # deleted meanwhile
                shown.append(zoo.get((group, name)) or await self._view(name, live))
        group, name = places[:limit][-1] if places else after
        return ModelPage(data=shown, next=f"{group}:{name}" if len(places) > limit else None)

    async def detail(self, ref: str) -> ModelDetail:
        """A model with the cards of all its versions, or of the version that `ref` means. Raises: UnknownModel."""
        live = await self._workers.live()
        for view in workers.served_models(live):
            if view.name == ref and not _VERSION.fullmatch(ref):
                return ModelDetail(**view.model_dump())
        resolved = await self.resolve(ref, live)
        if resolved.card is None:
            raise UnknownModel(f"There is no model {ref[:80]!r}.", hint="GET /v1/models lists the models.")
        name = resolved.card.name
        view = await self._view(name, live)
        cards = [resolved.card] if ref != name else await asyncio.to_thread(self._cards, name, view.versions)
        return ModelDetail(**view.model_dump(), cards=cards)

    def _cards(self, name: str, versions: Sequence[int]) -> list[Card]:
        return [self._registry.card(Version(name, number)) for number in sorted(versions, reverse=True)]

    async def _view(self, name: str, live: Sequence[WorkerInfo]) -> ModelView:
        def read() -> tuple[list[int], dict[str, int], Card]:
            newest = self._registry.resolve(name)
            versions = [number for number in self._registry.versions(name) if number <= newest.version]
            return versions, self._registry.aliases(name), self._registry.card(newest)

        versions, aliases, card = await asyncio.to_thread(read)
        return ModelView(
            name=name,
            kind="fine-tuned",
            default=self._is_default(name, live),
            digest=card.digest,
            note=card.note,
            workers=[worker.id for worker in live],
            newest=card.version,
            versions=versions,
            aliases=aliases,
        )

    def _is_default(self, name: str, live: Sequence[WorkerInfo]) -> bool:
        default = workers.default_model(live) if self._house is self._registry else None
        return default is not None and default.name.partition(":")[0] == name

    async def delete(self, ref: str) -> None:
        """Delete all versions of `name`, or the one that `name:version` means.

        Raises: UnknownModel; Conflict for a zoo model, and while an unfinished job needs the version; InvalidRequest
        for an alias, which may move meanwhile.
        """
        if "@" in ref:
            raise InvalidRequest(
                f"{ref[:120]!r} names an alias.",
                hint="Delete a version by its number, name:version, or the alias at /v1/models/{name}/aliases/{alias}.",
                field="name",
            )
        name, colon, _ = ref.partition(":")
        if name in workers.served_names(await self._workers.live()):
            raise Conflict(f"{name} is a zoo model and cannot be deleted.")
        check_model_name(name)
        version = await asyncio.to_thread(self._registry.resolve, ref)
        number = version.version if colon else None

        def delete() -> None:
            for each in [version.version] if colon else reversed(self._registry.versions(name)):
                self._registry.delete(Version(name, each))

        await check_unneeded(self._jobs, TASKS, ref, lambda job: _uses(job, name, number))
        await asyncio.to_thread(self._check_unprompted, name, number)
        aliases = await asyncio.to_thread(self._registry.aliases, name)
        await asyncio.to_thread(delete)
        await self._aliases.forget_counts(name, aliases)

    def _check_unprompted(self, name: str, number: int | None) -> None:
        """Raises: Conflict if a version that would stay consists of prompts for one that is to be deleted."""
        for each in self._registry.versions(name) if number is None else [number]:
            users = self._registry.prompts_for(f"{name}:{each}")
            if staying := [str(user) for user in users if number is not None or user.name != name]:
                raise Conflict(
                    f"{name}:{each} cannot be deleted: {', '.join(staying[:5])} consists of prompts for it.",
                    hint=f"Delete {staying[0]} first.",
                )

    async def check_carries(self, method: MethodName, online_text: bool | None, base: ResolvedModel) -> None:
        """Raises: InvalidTraining if the base cannot carry the method, as far as its card and the live workers tell."""
        card = base.card
        prompted = method in PROMPT_METHODS
        if card is not None and card.prompts is not None and not prompted:
            raise InvalidTraining(
                f"{base.name} consists of prompts for {card.prompts['base']}, so only vl_prompt can go on with it.",
                hint=f"Use the method vl_prompt, or start from {card.prompts['base']}.",
                field="base",
            )
        if method not in TEXT_METHODS or (method == "contrastive" and online_text is False):
            return
        if (
            card is not None
            and not prompted
            and (card.classifier.get("text_inputs") == "context" or card.hyperparameters.get("solver") == "closed_form")
        ):
            raise InvalidTraining(
                f"{base.name} cannot carry the method {method}: its text half has learned vectors of its own.",
                hint=f"Start from {card.base}, or use the method text4vis.",
                field="method",
            )
        if prompted:
            await self._check_promptable(method, base)

    async def _check_promptable(self, method: MethodName, base: ResolvedModel) -> None:
        """Raises: InvalidTraining."""
        live = await self._workers.live()
        able = {name for worker in live for name in worker.promptable}
        default = workers.default_model(live)
        name = base.name or (default.name if default else None)
        root = await asyncio.to_thread(self._root, name) if name else None
        if able and root in workers.served_names(live) and root not in able:
            raise InvalidTraining(
                f"{name} cannot carry the method {method}: it needs a vision transformer and CLIP's text tower.",
                hint=f"These models can, and versions that were trained from them: {', '.join(sorted(able))}.",
                field="method",
                nearest=sorted(able)[:3],
            )

    def _root(self, name: str) -> str:
        """The model of the zoo that a version was made of in the end; as far as its ancestors still exist."""
        while _VERSION.fullmatch(name):
            try:
                name = self._registry.resolve_card(name).base
            except UnknownModel:
                break
        return name

    async def file(self, name: str, number: int, file: str) -> LocalFile:
        """A file of a version, on this machine. The caller closes it. Raises: UnknownModel, NotFound."""
        check_model_name(name)
        if not _FILE.fullmatch(file):
            raise NotFound(f"A version has no file {file[:80]!r}.", hint=f"Every version has {CARD} and {WEIGHTS}.")

        version = await asyncio.to_thread(self._registry.resolve, f"{name}:{number}")
        return await LocalFile.open(self._registry.file(version, file))


_DEFAULT, _ZOO, _TUNED = range(3)
_CURSOR = re.compile(rf"([{_DEFAULT}{_ZOO}{_TUNED}]):(.{{1,200}})")
_Place = tuple[int, str]
"""The order of the list of models: the default model of the zoo, the others, the fine-tuned models; each by name."""


def _place(zoo_model: ModelView) -> _Place:
    return (_DEFAULT if zoo_model.default else _ZOO), zoo_model.name


def _read_cursor(cursor: str | None) -> _Place:
    """The place of the last model of the page before. Raises: InvalidRequest."""
    if cursor is None:
        return _DEFAULT, ""
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidRequest("cursor is not valid.", hint="Send the `next` of the page before.", field="cursor")
    return int(match[1]), match[2]


def _uses(job: Job, name: str, number: int | None) -> bool:
    """Whether the job answers with a version of the model, or starts from it. No number: any version."""
    question = job.request.get("question") or {}
    fields = ("model", "base", "candidate", "standing")
    refs = (*(job.request.get(field) for field in fields), question.get("model"))
    return any(ref == f"{name}:{number}" if number else str(ref).startswith(f"{name}:") for ref in refs)
