"""Labels and options are checked once, in the gateway. Errors name the index of what is wrong."""

from __future__ import annotations

import unicodedata
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import InvalidLabels, InvalidRequest
from core.questions import (
    ClassifyRequest,
    EmbedRequest,
    Label,
    Options,
    Question,
    QuestionLimits,
    check_labels,
    check_options,
)

LIMITS = QuestionLimits(max_labels=5, max_label_chars=20, max_texts=12, max_frames=16)


def labels(*names: str) -> tuple[Label, ...]:
    return tuple(Label(name=name) for name in names)


@pytest.mark.parametrize(
    ("given_labels", "index", "word"),
    [
        (labels(), None, "No labels"),
        (labels("a", "b", "c", "d", "e", "f"), 5, "at most 5"),
        (labels("a", "  "), 1, "empty"),
        (labels("a", "b", "x" * 21), 2, "21 characters"),
        (labels("a", "b", "a"), 2, "repeats labels[0]"),
        (labels("Riding a  bike", "riding a bike"), 1, "repeats labels[0]"),
        (labels("straße", "STRASSE"), 1, "repeats"),
        ((Label(name="a", prompts=()),), 0, "prompts is empty"),
        ((Label(name="a", prompts=("fine", "\t")),), 0, "prompts[1] is empty"),
        ((Label(name="a", prompts=("x" * 21,)),), 0, "prompts[0]"),
    ],
)
def test_the_error_names_the_first_bad_label(given_labels: tuple[Label, ...], index: int | None, word: str) -> None:
    with pytest.raises(InvalidLabels) as caught:
        check_labels(given_labels, LIMITS)
    assert caught.value.details.get("index") == index
    assert word in caught.value.message
    assert caught.value.hint


@given(st.lists(st.text(st.characters(categories=("Ll", "Lu", "Nd")), min_size=1, max_size=20), min_size=1, max_size=5))
def test_labels_pass_exactly_when_they_differ_beyond_case_and_width(names: list[str]) -> None:
    folded = {" ".join(unicodedata.normalize("NFKC", name).casefold().split()) for name in names}
    distinct = len(folded) == len(names)
    with nullcontext() if distinct else pytest.raises(InvalidLabels):
        check_labels(labels(*names), LIMITS)


@pytest.mark.parametrize(
    "options",
    [
        Options(templates=()),
        Options(templates=("no place",)),
        Options(templates=("{} and {}",)),
        Options(templates=("{0}",)),
        Options(templates=("{} {x}",)),
        Options(templates=("x" * 30 + "{}",)),
        Options(frames=17),
    ],
)
def test_bad_options_are_refused(options: Options) -> None:
    with pytest.raises(InvalidRequest):
        check_options(options, LIMITS)


@pytest.mark.parametrize(
    ("given_labels", "templates", "count"),
    [
        (labels("a", "b", "c", "d", "e"), ("{}", "a {}", "the {}"), 15),
        ((Label(name="a", prompts=("x",) * 13),), None, 13),
        ((*labels("a", "b", "c"), Label(name="d", prompts=("x",) * 7)), ("{}", "a {}"), 13),
    ],
)
def test_more_texts_than_one_question_may_need_are_refused(
    given_labels: tuple[Label, ...], templates: tuple[str, ...] | None, count: int
) -> None:
    with pytest.raises(InvalidRequest, match=f"make {count} texts .* at most 12") as caught:
        check_labels(given_labels, LIMITS, templates)
    assert caught.value.details["limit"] == 12
    check_labels(given_labels, LIMITS.model_copy(update={"max_texts": count}), templates)


def test_good_options_pass() -> None:
    check_options(Options(templates=("a film of {}.", "{}"), frames=16), LIMITS)


def test_a_question_about_a_stored_video_looks_as_in_earlier_versions() -> None:
    """A repeat is recognised by its JSON, also after an upgrade."""
    question = Question(labels=labels("a"))
    assert list(ClassifyRequest(sha256="s", question=question).model_dump(mode="json")) == ["sha256", "question"]
    assert list(ClassifyRequest(url="u", question=question).model_dump(mode="json")) == ["url", "question"]
    fields = ["texts", "sha256", "model", "frames", "views", "normalize"]
    assert list(EmbedRequest(texts=("a",)).model_dump(mode="json")) == fields


@pytest.mark.parametrize("video", [{}, {"sha256": "s", "url": "u"}])
def test_a_question_has_one_video(video: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        ClassifyRequest(**video, question=Question(labels=labels("a")))
