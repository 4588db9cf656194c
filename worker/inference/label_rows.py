"""The classifier of a question: the rows of its labels, made from text or trained. Text is encoded beside the video."""

from __future__ import annotations

import time
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass

import torch

from core.errors import InvalidLabels, InvalidRequest
from core.questions import Question, check_text_count
from worker.inference.caches.classifiers import ClassifierMatrix, Outcome
from worker.inference.loading.shelf import Loaded
from worker.inference.runtime import Runtime
from worker.jobs.cancellation import CancelToken


@dataclass(frozen=True, slots=True)
class LabelRows:
    """outcome: whether the classifier was cached; seconds: that it took."""

    classifier: ClassifierMatrix
    outcome: Outcome
    seconds: float


def check_question(runtime: Runtime, loaded: Loaded, question: Question) -> None:
    """What can be refused before any work. Raises: InvalidLabels, InvalidRequest."""
    recognizer = loaded.recognizer
    if recognizer.fixed_rows is not None:
        _closed_classifier(loaded, recognizer.fixed_rows, question)
    else:
        check_text_count(question.labels, _templates(loaded, question), runtime.max_texts)
    frames = question.frames or recognizer.profile.frames
    if recognizer.most_frames is not None and frames > recognizer.most_frames:
        raise InvalidRequest(
            f"{loaded.ref.name} reads at most {recognizer.most_frames} frames, not {frames}.",
            hint="Ask for fewer frames.",
            field="frames",
        )


def rows_beside(runtime: Runtime, loaded: Loaded, question: Question, token: CancelToken) -> Future[LabelRows]:
    """`label_rows` in another thread, while the caller decodes a video; at once where they are in memory."""
    began = time.perf_counter()
    if known := _known_rows(runtime, loaded, question):
        found: Future[LabelRows] = Future()
        found.set_result(LabelRows(known, "hit", time.perf_counter() - began))
        return found

    def timed() -> LabelRows:
        began = time.perf_counter()
        classifier, outcome = label_rows(runtime, loaded, question, token)
        return LabelRows(classifier, outcome, time.perf_counter() - began)

    return runtime.beside.submit(copy_context().run, timed)


def label_rows(
    runtime: Runtime, loaded: Loaded, question: Question, token: CancelToken
) -> tuple[ClassifierMatrix, Outcome]:
    """Raises: InvalidLabels, InvalidRequest, Cancelled, and what the text tower raises."""
    if loaded.recognizer.fixed_rows is not None:
        return _closed_classifier(loaded, loaded.recognizer.fixed_rows, question), "hit"
    templates = _templates(loaded, question)
    check_text_count(question.labels, templates, runtime.max_texts)

    def encode(texts: list[str]) -> tuple[torch.Tensor, list[bool]]:
        rows = loaded.towers.texts.encode(texts, token)
        return rows.vectors, rows.truncated

    try:
        normalise = bool(question.normalize_labels)
        return runtime.classifiers.classifier(loaded.recognizer, question.labels, templates, normalise, encode)
    except ValueError as error:
        raise InvalidRequest(str(error)) from error


def _known_rows(runtime: Runtime, loaded: Loaded, question: Question) -> ClassifierMatrix | None:
    if loaded.recognizer.fixed_rows is not None:
        return None
    templates, normalise = _templates(loaded, question), bool(question.normalize_labels)
    return runtime.classifiers.known(loaded.recognizer, question.labels, templates, normalise)


def _templates(loaded: Loaded, question: Question) -> tuple[str, ...]:
    return question.templates or loaded.recognizer.profile.templates


def _closed_classifier(loaded: Loaded, rows: torch.Tensor, question: Question) -> ClassifierMatrix:
    """Rows of a classifier that is not made from text: it knows only the classes that it was trained on. Raises:
    InvalidLabels."""
    classes = loaded.recognizer.classes
    for index, label in enumerate(question.labels):
        if label.name not in classes:
            raise InvalidLabels(
                f"{loaded.ref.name} knows only the classes that it was trained on; {label.name[:80]!r} is not one.",
                hint=f"Its classes: {', '.join(classes[:20])}. A model with a text classifier accepts any label.",
                index=index,
            )
    return ClassifierMatrix(rows[[classes.index(label.name) for label in question.labels]], ())  # [C, d]
