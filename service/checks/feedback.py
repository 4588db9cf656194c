"""What is said about a video, checked against what is known: the answer, the model, the length of the video."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from core.datasets import StoredClips
from core.errors import Conflict, InvalidDataset, InvalidLabels, InvalidRequest, UnknownModel
from core.feedback.record import Feedback, FeedbackFilter, Statement, feedback_id, stored_clips
from core.labels.spelling import clean_label
from core.records import JobState, StoredVideo
from core.registry import Card
from service.bodies.feedback.bodies import FeedbackBody, ImportedBody
from service.bodies.feedback.label_studio import DEFAULT_FPS, frames_of, seconds_of
from service.bodies.feedback.rows import ImportRow
from service.bodies.validation import similar_names, validate_body
from service.catalog.feedback import Wanted
from service.checks.training import check_open
from service.gateway import Gateway

MOST_LONGER: Final = 1.0  # seconds that a span may end after the video: players round
MIN_LABELS, MIN_CLIPS = 2, 2
_NEW_CLASS: Final = "Correct the label. Or bring in a new class: name the video, and neither the job nor the model."


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a job answered about its video. label: the best one; in a part of a video that of the segment that fills
    most of it, where the answer has a timeline."""

    video: str
    model: str
    label: str


class FeedbackCheck:
    """Checks the statements of one request. Models and videos are looked up once."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._cards: dict[str, Card | None] = {}
        self._videos: dict[str, StoredVideo] = {}

    async def statement(self, body: FeedbackBody) -> Statement:
        """Raises: InvalidRequest, InvalidLabels, UnknownVideo, UnknownJob, UnknownModel, Conflict."""
        _check_span(body.start, body.end)
        answer = await self._answer(body) if body.job is not None else None
        if answer and body.video not in (None, answer.video):
            raise InvalidRequest(
                f"{body.job} is about {answer.video}, not about the video given.",
                hint="Send one of them.",
                field="video",
            )
        video = body.video or (answer.video if answer else None)
        if video is None:
            raise InvalidRequest("Neither job nor video was given; one is needed.", field="video")
        predicted = answer.label if answer else None
        label = self._label(body, predicted)
        await self._check_end(video, body.end)
        model = body.model or (answer.model if answer else None)
        if model is not None:
            await self._check_model(model, label, body.label or label, must_exist=body.model is not None)
        return Statement(
            video=video,
            start=body.start,
            end=body.end,
            label=label,
            confirmed=_confirmed(body.confirmed, label, predicted),
            predicted=predicted,
            model=model,
            job=body.job,
        )

    async def imported(self, row: ImportRow) -> Statement | None:
        """What a row of a file says; None if it is known already. Raises: as `statement`."""
        body = validate_body(ImportedBody, row.fields)
        await self._video(body.video)
        start, end = (body.start, body.end) if row.frames is None else await self._span(row, body.video)
        _check_span(start, end)
        label = self._clean(body.label)
        known = await self._known(body.video, start, end)
        if known is not None and known.label == label:
            return None
        await self._check_end(body.video, end)
        if body.model is not None:
            await self._check_model(body.model, label, body.label, must_exist=False)
        return Statement(
            video=body.video,
            start=start,
            end=end,
            label=label,
            confirmed=label == clean_label(body.predicted) if body.predicted else body.confirmed,
            predicted=body.predicted,
            model=body.model,
            job=body.job,
        )

    async def _known(self, video: str, start: float | None, end: float | None) -> Feedback | None:
        return await self._gateway.feedback.find(feedback_id(video.removeprefix("vid_"), start, end))

    async def _span(self, row: ImportRow, video: str) -> tuple[float, float]:
        """In seconds. A region that an export made and nobody moved has exactly the span of its feedback."""
        frames = row.frames
        assert frames is not None  # the caller has looked
        facts = (await self._video(video)).facts
        fps = frames.fps or (facts.fps if facts else None) or DEFAULT_FPS
        known = await self._gateway.feedback.find(frames.region)
        if known is None or known.video != video or known.start is None or known.end is None:
            return seconds_of(frames, fps)
        moved = frames_of(known.start, known.end, fps) != (frames.first, frames.last)
        return seconds_of(frames, fps) if moved else (known.start, known.end)

    async def _answer(self, body: FeedbackBody) -> _Answer:
        """Raises: UnknownJob; InvalidRequest for a job that is no question; Conflict where it has no answer."""
        job = await self._gateway.jobs.get(body.job or "")
        if job.kind not in ("classification", "explanation"):
            raise InvalidRequest(
                f"{job.id} is a job of kind {job.kind}; feedback is about the answer to a question.", field="job"
            )
        if job.state is not JobState.SUCCEEDED or not job.result:
            raise Conflict(f"{job.id} is {job.state}, so it has no answer.", hint="Wait for its end.", state=job.state)
        result: dict[str, Any] = job.result
        label = _label_of_part(result, body.start, body.end) or result["predictions"][0]["label"]
        return _Answer(result["video"]["id"], result["model"], label)

    def _label(self, body: FeedbackBody, predicted: str | None) -> str:
        if body.label is None and not (body.confirmed and predicted is not None):
            raise InvalidRequest(
                "label is missing: say what the video shows.",
                hint='An answer that is right can be confirmed without it: {"job": …, "confirmed": true}.',
                field="label",
            )
        label = self._clean(body.label if body.label is not None else str(predicted))
        if body.labels is not None and label not in (names := [clean_label(name) for name in body.labels]):
            raise InvalidLabels(
                f"{label[:80]!r} is not one of the labels to choose from.",
                hint="Correct the label, or add it to labels.",
                field="label",
                nearest=similar_names(label, names),
            )
        return label

    def _clean(self, text: str) -> str:
        label, longest = clean_label(text), self._gateway.limits.max_label_chars
        if not label or len(label) > longest:
            raise InvalidLabels(
                f"The label has {len(label)} characters; 1 to {longest} are allowed.", field="label", limit=longest
            )
        return label

    async def _check_end(self, video: str, end: float | None) -> None:
        """Raises: UnknownVideo; InvalidRequest for a span beyond the end of the video."""
        facts = (await self._video(video)).facts
        if end is not None and facts is not None and end > facts.duration + MOST_LONGER:
            raise InvalidRequest(
                f"end is {end:g}, but the video has {facts.duration:g} seconds.", field="end", limit=facts.duration
            )

    async def _check_model(self, ref: str, label: str, as_sent: str, *, must_exist: bool) -> None:
        """Raises: UnknownModel if it must exist; InvalidLabels for a label that its closed set lacks."""
        if ref not in self._cards:
            try:
                self._cards[ref] = (await self._gateway.models.resolve(ref)).card
            except UnknownModel:
                if must_exist:
                    raise
                self._cards[ref] = None  # it answered, and has been deleted since
        card = self._cards[ref]
        if card is not None and label not in card.classes:
            check_open(card, [as_sent], _NEW_CLASS)

    async def _video(self, name: str) -> StoredVideo:
        """Raises: UnknownVideo."""
        if name not in self._videos:
            self._videos[name] = await self._gateway.videos.get(name)
        return self._videos[name]


def _check_span(start: float | None, end: float | None) -> None:
    if (start is None) != (end is None):
        raise InvalidRequest("start and end belong together.", field="end" if end is None else "start")
    if start is not None and end is not None and end <= start:
        raise InvalidRequest(f"end ({end:g}) must be after start ({start:g}).", field="end")


def _confirmed(given: bool | None, label: str, predicted: str | None) -> bool | None:
    """Raises: InvalidRequest for a confirmation that the answer contradicts."""
    if predicted is None:
        return given
    right = label == clean_label(predicted)
    if given is not None and given != right:
        raise InvalidRequest(
            f"confirmed is {str(given).lower()}, but the answer was {predicted[:80]!r}, the label {label[:80]!r}.",
            hint="Leave confirmed out: it follows from the label.",
            field="confirmed",
        )
    return right


def _label_of_part(result: dict[str, Any], start: float | None, end: float | None) -> str | None:
    """The label of the segment that fills most of the span; None where no segment touches it."""
    if start is None or end is None:
        return None
    segments = (result.get("timeline") or {}).get("segments") or []
    shared = [(min(end, each["end"]) - max(start, each["start"]), each["label"]) for each in segments]
    longest, label = max(shared, default=(0.0, None), key=lambda pair: pair[0])
    return label if longest > 0 else None


async def clips_of(gateway: Gateway, filter: FeedbackFilter) -> StoredClips:
    """The stored videos that people have labelled, as the clips of a dataset.

    Raises: InvalidDataset where there are not enough of them, or too many.
    """
    settings, said = gateway.settings, [each async for each in gateway.feedback.all(Wanted(filter))]
    clips = stored_clips(said)
    parts = tuple(each.sha256 for each in said if each.start is not None)
    counts = Counter(clip.label for clip in clips)
    enough = [label for label, count in counts.items() if count >= MIN_CLIPS]
    if len(enough) < MIN_LABELS:
        raise InvalidDataset(
            f"A dataset needs at least {MIN_LABELS} labels with {MIN_CLIPS} videos each. {len(enough)} labels of this "
            f"feedback have as many; it is about {len(clips)} videos."
            + (
                f" Feedback about parts of videos ({len(parts)}) is left out: a clip is a whole video." if parts else ""
            ),
            hint="Label more videos: GET /v1/videos?order=uncertainty lists those that are worth it most.",
            report=[],
            needed={"labels": MIN_LABELS, "videos_per_label": MIN_CLIPS},
            parts=len(parts),
        )
    if len(clips) > settings.max_dataset_files:
        raise InvalidDataset(
            f"The feedback has {len(clips)} labelled videos; at most {settings.max_dataset_files} are allowed.",
            hint="Choose some with filter, or raise VIREO_MAX_DATASET_FILES.",
            report=[],
            limit=settings.max_dataset_files,
        )
    return StoredClips(clips=clips, parts=parts)
