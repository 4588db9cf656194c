from __future__ import annotations

import pytest

from core.vocabulary import TextInputKind
from models.classifier.inputs import TextInputs, choose_text_inputs

TEMPLATES = ("a video of {}.", "a photo of {}.", "{} indeed")


def test_each_label_is_read_by_each_served_template() -> None:
    inputs = TextInputs("templates", TEMPLATES[:2])
    assert inputs.texts(["BrushHair", "run"]) == [
        ["a video of Brush Hair.", "a photo of Brush Hair."],
        ["a video of run.", "a photo of run."],
    ]
    assert TextInputs("name", normalise=False).texts(["BrushHair"]) == [["BrushHair"]]


def test_inputs_of_a_run() -> None:
    usual, ensemble = TEMPLATES[:2], TEMPLATES

    def chosen(mode: TextInputKind, requested: tuple[str, ...] | None = None) -> tuple[str, ...]:
        return choose_text_inputs(mode, requested=requested, usual=usual, ensemble=ensemble, normalise=True).served

    assert chosen("name") == ("{}",)
    assert chosen("template") == usual[:1]
    assert chosen("templates") == ensemble
    assert chosen("context") == ("{}.",)
    assert chosen("template", ("see {}",)) == ("see {}",)
    assert chosen("templates", ("see {}", "hear {}")) == ("see {}", "hear {}")
    with pytest.raises(ValueError, match="one template"):
        chosen("template", usual)
    with pytest.raises(ValueError, match="no templates"):
        chosen("name", ("see {}",))
    with pytest.raises(ValueError, match="exactly once"):
        chosen("template", ("no place",))
