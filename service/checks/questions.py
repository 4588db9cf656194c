"""The road of a question: what is asked, about which video, as which job, and how long to wait for the answer."""

from __future__ import annotations

import logging
from contextlib import suppress

from fastapi.responses import JSONResponse
from pydantic import BaseModel
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from core.errors import Conflict, InvalidRequest, QueueFull, UnknownModel, VireoError
from core.questions import Label, Options, Question, check_labels, check_options
from core.records import Job, JobKind, JobState
from service.bodies.schemas import Asked, EmbedBody, Source
from service.catalog.models import Chosen
from service.catalog.videos import Added
from service.checks.training import check_open
from service.gateway import Gateway
from service.http import envelope, preferences
from service.http.preferences import Wishes
from service.jobs.waiting import accepted, wait
from service.ops.workers import check_somebody_answers
from service.uploads.sink import Incoming, take_base64

log = logging.getLogger(__name__)

_SOURCES = ("video_url", "url", "base64", "video_id")


class Asking:
    """One request on its way to an answer."""

    def __init__(self, gateway: Gateway, request: Request) -> None:
        """Raises: InvalidRequest for headers that make no sense."""
        self._gateway = gateway
        self._request = request
        self._wishes: Wishes = preferences.read(request.headers)
        self._added: Added | None = None
        self._admitted: dict[str | None, Chosen] = {}

    async def admit(self, model: str | None, *, before_upload: bool = False) -> Chosen:
        """Whether a question to `model` has a chance, and which model that is; found out once per model.
        `before_upload`: look for room in the queue as well (creating the job does, but an upload would have been for
        nothing by then).

        Raises: UnknownModel, WorkerUnavailable, ModelUnavailable, QueueFull.
        """
        if model not in self._admitted:
            self._admitted[model] = await self._admit(model, before_upload)
        return self._admitted[model]

    async def _admit(self, model: str | None, before_upload: bool) -> Chosen:
        gateway = self._gateway
        known = await gateway.jobs.is_known(self._wishes.key)
        live = await gateway.workers.live()
        try:
            chosen = await gateway.models.choose(model, live)
        except UnknownModel:
            if not known:
                raise
            return Chosen(model)  # the answer to a repeat needs no worker, nor a model that was deleted since
        if not known:
            if not self._wishes.detached:
                check_somebody_answers(live)
            if before_upload:
                await gateway.jobs.check_room("classify")
        return chosen

    def check(self, asked: Asked) -> None:
        """What can be said about a question that may still lack its labels. Raises: InvalidRequest, InvalidLabels."""
        if asked.labels is not None and asked.label_set is not None:
            raise InvalidRequest("Both labels and label_set were given; one of them is enough.", field="label_set")
        if asked.labels is not None:
            check_labels(asked.labels, self._gateway.limits)
        check_options(asked, self._gateway.limits)

    async def question(self, asked: Asked) -> tuple[Question, Question]:
        """The question with its model resolved, and as it was meant: by a name that may mean another version later.

        A fine-tuned model that is asked for nothing in particular is asked for what it was trained on. Raises:
        InvalidRequest, InvalidLabels, UnknownLabelSet, UnknownModel, WorkerUnavailable, ModelUnavailable.
        """
        self.check(asked)
        options = asked.model_dump(include=set(Question.model_fields) - {"labels"})
        labels = asked.labels or ()
        if asked.label_set is not None:
            label_set = await self._gateway.label_sets.get(asked.label_set)
            labels = label_set.labels
            options["templates"] = asked.templates or label_set.templates
        if asked.labels is not None or asked.label_set is not None or not await self._has_labels(asked.model):
            check_labels(labels, self._gateway.limits)
        chosen = await self.admit(asked.model)
        meant = Question(labels=labels, **options)
        if chosen.card is None:
            return meant, meant
        check_open(chosen.card, [label.name for label in labels])
        if not labels:
            labels = tuple(Label(name=name) for name in chosen.card.classes)
        as_trained = bool(chosen.card.classifier.get("normalize_labels"))
        normalise = as_trained if asked.normalize_labels is None else asked.normalize_labels
        update = {"labels": labels, "model": chosen.name, "normalize_labels": normalise}
        return meant.model_copy(update=update), meant

    async def _has_labels(self, model: str | None) -> bool:
        """Whether the model knows by itself what to look for. Raises: UnknownModel."""
        chosen = await self._gateway.models.choose(model)
        return chosen.card is not None and bool(chosen.card.classes)

    def check_texts(self, body: EmbedBody, place: Incoming) -> None:
        """Raises: InvalidRequest for texts that cannot be embedded or come with a video, or too many frames."""
        limits = self._gateway.limits
        check_options(Options(frames=body.frames), limits)
        if body.texts is None:
            return
        if given := sources(body, place):
            raise InvalidRequest(f"texts and {given[0]} were given; ask for one of them at a time.", field="texts")
        if not 1 <= len(body.texts) <= limits.max_labels:
            raise InvalidRequest(
                f"{len(body.texts)} texts were given; 1 to {limits.max_labels} are allowed.",
                field="texts",
                limit=limits.max_labels,
            )
        for index, text in enumerate(body.texts):
            if not text.strip() or len(text) > limits.max_label_chars:
                raise InvalidRequest(
                    f"texts[{index}] has {len(text)} characters; 1 to {limits.max_label_chars} are allowed.",
                    field=f"texts[{index}]",
                    index=index,
                )

    async def video(self, source: Source, place: Incoming) -> str:
        """The sha256 of the request's video, which is stored by then.

        Raises: InvalidRequest unless there is exactly one source; UnknownVideo, UrlNotAllowed, UrlUnreachable,
        VideoTooLarge, UndecodableVideo, StorageUnavailable.
        """
        check_source(source, place)
        if source.video_id is not None:
            return await self._gateway.videos.use(source.video_id)
        self._added = await self._add(source, place, keep=False)
        return self._added.sha256

    async def keep(self, source: Source, place: Incoming) -> tuple[str, bool]:
        """Like `video`, for good; and whether it is new."""
        check_source(source, place)
        if source.video_id is not None:
            return await self._gateway.videos.keep(source.video_id), False
        added = await self._add(source, place, keep=True)
        return added.sha256, added.new

    async def _add(self, source: Source, place: Incoming, *, keep: bool) -> Added:
        if source.base64 is not None:
            await take_base64(source.base64, place)
        elif url := source.video_url or source.url:
            await self._gateway.fetcher.fetch(url, place)
        assert place.staged is not None  # one of the three has filled it
        return await self._gateway.videos.add(place.staged, keep=keep)

    async def answer(self, kind: JobKind, body: BaseModel, meant: BaseModel | None = None) -> Response:
        """Create the job and wait for it as long as was wished. `meant`: as in `Jobs.create`. Raises: VireoError."""
        gateway, wish = self._gateway, self._wishes
        try:
            job, new = await gateway.jobs.create(kind, body, wish.key, meant)
        except VireoError as error:
            if self._added and isinstance(error, QueueFull | Conflict):
                await gateway.videos.release(self._added)
            raise
        with gateway.waiter.expect(job.id) as done:
            if new:
                await gateway.jobs.send(job, wish.key)
            else:
                job = await gateway.jobs.get(job.id)  # it may have finished before the future was registered
            if wish.detached:
                return await accepted(gateway, job, wish)
            if not job.state.final:
                if await wait(gateway, self._request, done, self._wishes.wait) == "gone":
                    return await self._abandon(job)
                job = await gateway.jobs.get(job.id)
        return await self._finished(job)

    async def _abandon(self, job: Job) -> Response:
        """The client has left; nobody would read the answer, unless the job was meant to be found again."""
        if self._wishes.key is None:
            with suppress(RedisError):
                await self._gateway.jobs.cancel(job)
                log.info("the client left, %s is cancelled", job.id)
        return envelope.gone()

    async def _finished(self, job: Job) -> Response:
        if job.state is JobState.SUCCEEDED and job.result is not None:
            return JSONResponse(job.result)
        if job.state.final:
            if sha256 := job.request.get("sha256"):
                await self._gateway.videos.drop(sha256)  # of no use, says the worker: nothing stays on disk
            return envelope.response(VireoError.from_dict(job.error or {}))
        return await accepted(self._gateway, job, self._wishes)


def check_source(source: Source, place: Incoming) -> None:
    """Raises: InvalidRequest unless exactly one video was given."""
    given = sources(source, place)
    if len(given) != 1:
        many = f"{' and '.join(given)} were given" if given else "No video was given"
        raise InvalidRequest(
            f"{many}; exactly one is needed.",
            hint="A file `video` (multipart), or `video_url`, `video_id`, or `base64` (JSON).",
            field=given[1] if given else "video",
        )


def sources(source: Source, place: Incoming) -> list[str]:
    """Names of the fields in which a video was given."""
    return ["video"] * bool(place.staged) + [name for name in _SOURCES if getattr(source, name) is not None]
