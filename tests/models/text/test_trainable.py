"""Text towers that are trained: a copy learns, the original and its word embeddings stay, and the digest tells."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from models.recognition.base import Base
from models.text.encoder import TrainableTextEncoder
from tests.models.conftest import tiny_base

TEXTS = ["a cat", "two dogs"]


@pytest.fixture(params=["clip", "lite"])
def encoder(request: pytest.FixtureRequest) -> TrainableTextEncoder:
    base: Base = tiny_base() if request.param == "clip" else request.getfixturevalue("lite_base")
    assert isinstance(base.text_encoder, TrainableTextEncoder)
    return base.text_encoder


def test_a_copy_is_trained_and_the_original_stays(encoder: TrainableTextEncoder) -> None:
    before, _ = encoder.encode(TEXTS)
    copy = encoder.for_training()
    copy.encode_trained(TEXTS).square().sum().backward()  # type: ignore[no-untyped-call]
    learned = {name: parameter for name, parameter in copy.module.named_parameters() if parameter.requires_grad}
    assert all(parameter.grad is not None for parameter in learned.values())
    frozen = {name for name, _ in copy.module.named_parameters()} - learned.keys()
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in frozen} - {""} <= {"token_embedding", "words"}
    assert any(name.endswith(("token_embedding.weight", "words.weight")) for name in frozen)
    with torch.no_grad():
        for parameter in learned.values():
            parameter.add_(0.1 * torch.randn_like(parameter))
    trained = copy.as_trained()
    assert torch.equal(encoder.encode(TEXTS)[0], before)
    assert not torch.allclose(trained.encode(TEXTS)[0], before, atol=1e-3)
    assert trained.digest not in (encoder.digest, "")
    assert not any(parameter.requires_grad for parameter in trained.module.parameters())
    assert all(parameter.requires_grad for parameter in learned.values()), "the run may go on"


def test_the_digest_is_that_of_the_weights(encoder: TrainableTextEncoder) -> None:
    first: Callable[[], str] = lambda: encoder.for_training().as_trained().digest  # noqa: E731
    assert first() == first()
