from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch.nn.functional import normalize

from models.classifier import ensemble
from models.classifier.ensemble import build_rows
from models.recognition.recognizer import Recognizer

TEMPLATES = ("a video of {}.", "a photo of {}.")


def questions(*labels: str) -> Sequence[tuple[str, None]]:
    return [(label, None) for label in labels]


def test_a_row_is_the_template_ensemble(recognizer: Recognizer) -> None:
    rows, truncated = build_rows(recognizer.encode_texts, questions("a cat", "a dog"), TEMPLATES, normalise=False)
    vectors, _ = recognizer.encode_texts(["a video of a cat.", "a photo of a cat."])
    expected = normalize(normalize(vectors, dim=-1).mean(dim=0), dim=0)
    torch.testing.assert_close(rows[0], expected, rtol=1e-4, atol=1e-5)
    assert rows.shape == (2, recognizer.dim)
    assert truncated == [False, False]


def test_rows_have_unit_length_and_need_no_gradient(recognizer: Recognizer) -> None:
    rows, _ = build_rows(recognizer.encode_texts, questions("a", "b", "c"), TEMPLATES, normalise=False)
    torch.testing.assert_close(rows.norm(dim=-1), torch.ones(3))
    assert not rows.requires_grad


def test_a_row_does_not_depend_on_its_neighbours(recognizer: Recognizer) -> None:
    labels = questions("a cat", "a very long label with many words in it", "x")
    together, _ = build_rows(recognizer.encode_texts, labels, TEMPLATES, normalise=False)
    alone = torch.cat([build_rows(recognizer.encode_texts, [label], TEMPLATES, normalise=False)[0] for label in labels])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_more_texts_than_one_pass_holds(recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = questions(*(f"label {i}" for i in range(7)))
    whole, _ = build_rows(recognizer.encode_texts, labels, TEMPLATES, normalise=False)
    monkeypatch.setattr(ensemble, "TEXTS_PER_PASS", 3)
    pieces, _ = build_rows(recognizer.encode_texts, labels, TEMPLATES, normalise=False)
    torch.testing.assert_close(whole, pieces, rtol=1e-4, atol=1e-5)


def test_truncation_is_reported_for_the_label_that_suffers_it(recognizer: Recognizer) -> None:
    labels = [("short", None), ("cat " * 100, None), ("x", ["fine", "dog " * 100]), ("y", ["fine"])]
    _, truncated = build_rows(recognizer.encode_texts, labels, TEMPLATES, normalise=False)
    assert truncated == [False, True, True, False]


def test_normalising_gives_the_row_of_the_spaced_words(recognizer: Recognizer) -> None:
    camel, _ = build_rows(recognizer.encode_texts, questions("BrushHair"), TEMPLATES, normalise=True)
    spaced, _ = build_rows(recognizer.encode_texts, questions("Brush Hair"), TEMPLATES, normalise=False)
    torch.testing.assert_close(camel, spaced)


@pytest.mark.parametrize(("label", "templates"), [("", TEMPLATES), ("x", ()), ("x", ("no place",))])
def test_bad_questions_are_refused(recognizer: Recognizer, label: str, templates: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"label|template"):
        build_rows(recognizer.encode_texts, questions(label), templates, normalise=False)
