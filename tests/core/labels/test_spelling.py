"""What the spelling of labels tells without any weights."""

from __future__ import annotations

import pytest

from core.labels.check import LabelFinding
from core.labels.spelling import spelling_findings
from core.questions import Label


def findings(*names: str, normalised: bool = False) -> dict[str, LabelFinding]:
    found = list(spelling_findings([Label(name=name) for name in names], normalised=normalised))
    return {finding.code: finding for finding in found}


def test_good_labels_have_no_findings() -> None:
    assert findings("riding a bicycle", "iPhone", "TV", "a 10 km run", "T-shirt", "news") == {}


def test_spellings_of_one_label_are_duplicates() -> None:
    found = findings("Brush  hair", "brush_hair", "BrushHair", "comb hair", normalised=True)
    assert list(found) == ["duplicate"]
    assert found["duplicate"].severity == "error"
    assert found["duplicate"].labels == ["Brush  hair", "brush_hair", "BrushHair"]
    assert "Keep one" in found["duplicate"].suggestion


def test_the_same_name_with_other_prompts_is_another_label() -> None:
    labels = [Label(name="bat", prompts=("an animal.",)), Label(name="bat", prompts=("a sports device.",))]
    assert list(spelling_findings(labels, normalised=False)) == []


@pytest.mark.parametrize("name", ["17", "class_3", "id-0042", "c7"])
def test_numbers_mean_nothing(name: str) -> None:
    found = findings(name, "walking")
    assert found["numeric"].labels == [name]
    assert '"lda"' in found["numeric"].suggestion


@pytest.mark.parametrize("name", ["ApplyEyeMakeup", "brush_hair", "applyLipstick"])
def test_joined_words_are_unknown_words_unless_they_are_separated(name: str) -> None:
    assert findings(name)["camel_case"].labels == [name]
    assert "normalize_labels" in findings(name)["camel_case"].suggestion
    assert findings(name, normalised=True) == {}


def test_a_label_with_prompts_is_read_by_these() -> None:
    labels = [Label(name="ApplyEyeMakeup", prompts=("putting on make-up.",)), Label(name="17", prompts=("a cat.",))]
    assert list(spelling_findings(labels, normalised=False)) == []
