"""How many prompts a run learns, in how many blocks, and what they start from."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.errors import InvalidTraining
from core.training_requests import TrainingRequest
from models.classifier.rows import ContextRows
from models.recognition.video_model import VideoModel
from models.text.clip_encoder import ClipTextEncoder
from tests.models.conftest import CPU, tiny_base
from worker.training.run.config import Config, resolve_config
from worker.training.run.parts import new_classifier, new_model

LABELS = ("a cat", "a dog")


def config(**fields: Any) -> Config:
    request = TrainingRequest(name="p", dataset="ds_" + "0" * 24, base="tiny", method="vl_prompt", seed=3, **fields)
    return resolve_config(request, tiny_base(), LABELS, 8, 8, CPU)


def parts(**fields: Any) -> tuple[VideoModel, ContextRows]:
    made, base = config(**fields), tiny_base()
    classifier = new_classifier(made, LABELS, base.text_encoder, base.dim, CPU)
    assert isinstance(classifier, ContextRows)
    return new_model(base, made, CPU), classifier


@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ({}, (2, 10)),  # the recipe's ten, in all blocks of a tower that has two
        ({"prompt_tokens": 3}, (2, 3)),
        ({"prompt_depth": 1}, (1, 10)),
        ({"prompt_tokens": 64, "prompt_depth": 48}, (2, 64)),
        ({"recipe": "vifi-prompt-base-to-novel", "prompt_depth": 1}, (1, 16)),
    ],
)
def test_the_request_decides_number_and_depth_in_both_towers(fields: dict[str, Any], shape: tuple[int, int]) -> None:
    model, classifier = parts(**fields)
    assert model.tower.prompts is not None
    assert tuple(model.tower.prompts.shape[:2]) == tuple(classifier.context.shape[:2]) == shape
    assert config(**fields).to_dict()["prompt_tokens"] == shape[1]  # in the card


@pytest.mark.parametrize("count", [1, 4])
def test_few_text_vectors_start_from_words_as_in_coop(count: int) -> None:
    """`a photo of a` is four tokens; those of later blocks, and those of the image tower, start from noise."""
    encoder = tiny_base().text_encoder
    assert isinstance(encoder, ClipTextEncoder)
    model, classifier = parts(prompt_tokens=count)
    words = encoder.word_vectors("a photo of a")
    assert len(words) == 4
    assert torch.equal(classifier.context[0], words[:count])
    rest = classifier.context[1]
    assert not torch.equal(rest, words[:count])
    assert model.tower.prompts is not None
    assert float(model.tower.prompts.detach().std()) < 0.05


def test_four_vectors_of_depth_one_start_where_the_template_is() -> None:
    """Before the first step, the rows are those of the plain template."""
    base = tiny_base()
    _, classifier = parts(prompt_tokens=4, prompt_depth=1)
    plain, _ = base.text_encoder.encode([f"a photo of a {name}." for name in LABELS])
    torch.testing.assert_close(classifier.rows(), torch.nn.functional.normalize(plain, dim=-1), rtol=1e-4, atol=1e-5)


def test_more_vectors_start_from_noise_as_before() -> None:
    _, classifier = parts(prompt_tokens=5)
    assert float(classifier.context.detach().std()) == pytest.approx(0.02, rel=0.3)


def test_prompts_that_leave_class_names_no_room_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClipTextEncoder, "positions", property(lambda _: 16))
    assert config(prompt_tokens=10).recipe.prompt_tokens == 10
    with pytest.raises(InvalidTraining, match="no room for class names") as refused:
        config(prompt_tokens=11)
    assert refused.value.details["field"] == "prompt_tokens"
