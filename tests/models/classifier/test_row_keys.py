from __future__ import annotations

from typing import Any

import pytest

from models.classifier import row_keys
from models.classifier.row_keys import row_key

TEMPLATES = ("a video of {}.", "a photo of {}.")
ROW: dict[str, Any] = {
    "label": "TVNews",
    "prompts": None,
    "templates": TEMPLATES,
    "normalise": False,
    "text_digest": "weights and tokenizer",
    "device_type": "cpu",
}


def key(**changes: Any) -> str:
    return row_key(**(ROW | changes))


@pytest.mark.parametrize(
    "change",
    [
        {"label": "TVnews"},
        {"label": "TVNews "},
        {"prompts": ("a video of TVNews.", "a photo of TVNews.")},
        {"templates": TEMPLATES[:1]},
        {"templates": TEMPLATES[::-1]},
        {"normalise": True},
        {"text_digest": "another"},
        {"device_type": "cuda"},
    ],
)
def test_a_row_key_changes_with_what_shapes_the_row(change: dict[str, Any]) -> None:
    assert key(**change) != key()


def test_a_row_key_changes_with_the_normaliser(monkeypatch: pytest.MonkeyPatch) -> None:
    before, normalised = key(), key(normalise=True)
    monkeypatch.setattr(row_keys, "NORMALISER_VERSION", 1000)
    assert key(normalise=True) != normalised
    assert key() == before  # labels that are not normalised do not depend on it


def test_templates_do_not_count_beside_prompts() -> None:
    own = {"prompts": ("somebody reads the news",)}
    assert key(**own, templates=("{}",)) == key(**own)
