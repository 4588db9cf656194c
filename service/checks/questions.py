"""Checks of questions that need nothing but the request and the limits: labels, options, texts."""

from __future__ import annotations

from core.errors import InvalidRequest
from core.questions import Options, QuestionLimits, check_labels, check_options
from core.uploads.sink import Upload
from service.bodies.questions import EmbedBody, QuestionBody
from service.catalog.sources import given_sources


def check_question(body: QuestionBody, limits: QuestionLimits) -> None:
    """Check a question whose labels may still be missing. Raises: InvalidRequest, InvalidLabels."""
    if body.labels is not None and body.label_set is not None:
        raise InvalidRequest("Both labels and label_set were given; send one of them.", field="label_set")
    if body.labels is not None:
        check_labels(body.labels, limits, body.templates)
    check_options(body, limits)


def check_texts(body: EmbedBody, upload: Upload, limits: QuestionLimits) -> None:
    """Raises: InvalidRequest for texts that cannot be embedded, for texts and a video together, for too many frames."""
    check_options(Options(frames=body.frames), limits)
    if body.texts is None:
        return
    if given := given_sources(body, upload):
        raise InvalidRequest(f"Both texts and {given[0]} were given; send one of them.", field="texts")
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
