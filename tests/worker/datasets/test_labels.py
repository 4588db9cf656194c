from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.labels.spelling import clean_label
from worker.datasets.labels import examples, label_findings


def codes(*labels: str) -> list[tuple[str, str, int]]:
    return [(finding.code, finding.severity, finding.count) for finding in label_findings(sorted(labels))]


@given(st.text(alphabet=st.characters(codec=None) | st.sampled_from("e\u0301 \x1b\x1c\x85\ud800"), max_size=40))
@example("e\x1b\u0301")
@example("a \x1b b")
def test_clean_labels_can_be_stored_and_stay_as_they_are(text: str) -> None:
    label = clean_label(text)
    label.encode()
    assert clean_label(label) == label
    assert not set(label) & set("\t\n\r\0\x1b")
    assert unicodedata.is_normalized("NFC", label)


def test_two_compositions_are_one_label() -> None:
    assert clean_label(unicodedata.normalize("NFD", " Café\t au  lait\x1b\n")) == "Café au lait"


def test_ordinary_labels_have_no_findings() -> None:
    assert codes("open the door", "close the door", "ApplyEyeMakeup", "jump", "run", "swim", "push up", "pull up") == []


@pytest.mark.parametrize("label", ["7", "007", "class_12", "Class 3", "#4", "c5", "label-01"])
def test_numbers_are_not_names(label: str) -> None:
    assert ("numeric_labels", "warning", 1) in codes(label, "jump")
    [finding] = [finding for finding in label_findings([label]) if finding.code == "numeric_labels"]
    assert 'classifier "lda"' in finding.message


@pytest.mark.parametrize("label", ["100 m run", "mp3 player", "4x4 driving", "MI6"])
def test_names_with_numbers_are_names(label: str) -> None:
    assert codes(label, "jump") == []


@pytest.mark.parametrize("label", ["word " * 61, "长" * 301])
def test_long_labels(label: str) -> None:
    assert codes(label.strip(), "jump") == [("long_label", "warning", 1)]
    assert codes(("word " * 60).strip(), "jump") == []


@pytest.mark.parametrize(
    "pair", [("Ride Bike", "ride_bike"), ("RideBike", "ride bike"), ("jump!", "Jump"), ("tie-dye", "tie dye")]
)
def test_labels_that_differ_in_spelling_only(pair: tuple[str, str]) -> None:
    assert codes(*pair, "swim") == [("near_synonyms", "warning", 1)]


def test_labels_that_are_nearly_the_same_words() -> None:
    assert codes("riding a bike", "riding a bikes", "swim") == [("near_synonyms", "info", 1)]
    assert codes("walk in lane 1", "walk in lane 2") == []


def test_only_a_few_examples_are_shown() -> None:
    assert examples(["a", "b"]) == '"a", "b"'
    assert examples([str(i) for i in range(10)]).endswith('"7" and 2 more')
