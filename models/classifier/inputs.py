"""What the text tower reads for a class while training: name, template, several templates, or learned context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.vocabulary import TextInputKind
from models.profiles.prompts import check_templates, normalise_label


@dataclass(frozen=True, slots=True)
class TextInputs:
    """How labels become texts. Raises: ValueError if the templates do not fit the mode."""

    mode: TextInputKind = "template"
    templates: tuple[str, ...] = ("a video of a person {}.",)  # paper §B.2; unused by "name" and "context"
    normalise: bool = True  # `BrushHair` → `Brush Hair` (models/profiles/prompts.py)

    def __post_init__(self) -> None:
        check_templates(self.templates)
        if self.mode == "template" and len(self.templates) != 1:
            raise ValueError(f"text inputs 'template' take one template, not {len(self.templates)}")

    @property
    def served(self) -> tuple[str, ...]:
        """The templates that give any labels rows like the trained ones. They go into the version's profile."""
        if self.mode == "name":
            return ("{}",)
        if self.mode == "context":
            return ("{}.",)  # CoOp: context, class name, full stop
        return self.templates

    def texts(self, labels: Sequence[str]) -> list[list[str]]:
        """For each label, its text by each of the `served` templates. Raises: ValueError for an empty label."""
        if empty := [index for index, label in enumerate(labels) if not label.strip()]:
            raise ValueError(f"label {empty[0]} is empty")
        names = [normalise_label(label) if self.normalise else label for label in labels]
        return [[template.replace("{}", name) for template in self.served] for name in names]


def choose_text_inputs(
    mode: TextInputKind,
    *,
    requested: Sequence[str] | None,
    usual: Sequence[str],
    ensemble: Sequence[str],
    normalise: bool,
) -> TextInputs:
    """The text inputs of a run. They use the requested templates if there are any. Otherwise they use all templates of
    `ensemble` for the mode "templates", and the first of `usual` for the others.

    Raises: ValueError if the requested templates do not fit the mode.
    """
    if requested and mode in ("name", "context"):
        raise ValueError(f"text inputs {mode!r} take no templates")
    if requested:
        return TextInputs(mode, tuple(requested), normalise)
    return TextInputs(mode, tuple(ensemble) if mode == "templates" else tuple(usual)[:1], normalise)
