from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from models.classifier.inputs import TextInputs
from models.classifier.rows import build_classifier
from models.recognition.base import Base
from models.text.context_encoder import ContextTextEncoder
from models.text.encoder import TextEncoder
from tests.models.conftest import tiny_base


def sides() -> tuple[TextEncoder, ContextTextEncoder]:
    texts = tiny_base().text_encoder
    assert texts.context_width is not None
    return texts, ContextTextEncoder(
        texts, torch.randn(4, texts.context_width, generator=torch.Generator().manual_seed(0))
    )


def test_any_labels_are_read_behind_the_context_that_was_learned() -> None:
    texts, _ = sides()
    inputs = TextInputs("context")
    trained = build_classifier("text", labels=["run", "jump"], encoder=texts, inputs=inputs, dim=texts.dim, seed=0)
    served = trained.served_encoder(texts)
    vectors, truncated = served.encode([inputs.served[0].replace("{}", label) for label in ("jump", "run", "swim")])
    torch.testing.assert_close(normalize(vectors[[1, 0]], dim=-1), trained.rows().detach(), rtol=1e-4, atol=1e-5)
    assert truncated == [False] * 3
    assert not vectors.requires_grad


def test_the_context_changes_the_vectors_and_their_address() -> None:
    texts, context = sides()
    other = ContextTextEncoder(texts, context.context + 0.1)
    assert not torch.allclose(context.encode(["a cat"])[0], texts.encode(["a cat"])[0])
    assert len({texts.digest, context.digest, other.digest}) == 3
    assert ContextTextEncoder(texts, context.context.clone()).digest == context.digest
    assert (context.dim, context.context_width) == (texts.dim, None)
    assert context.module is texts.module


def test_the_context_takes_room() -> None:
    """77 slots: start, 4 of context, the words, end."""
    _, context = sides()
    assert context.encode(["cat " * 71, "cat " * 72])[1] == [False, True]


def test_there_is_one_context() -> None:
    texts, context = sides()
    assert texts.context_width is not None
    with pytest.raises(TypeError, match="already"):
        context.encode_with_context(["a"], torch.zeros(4, texts.context_width))
    with pytest.raises(ValueError, match="context"):
        build_classifier(
            "text", labels=["a", "b"], encoder=context, inputs=TextInputs("context"), dim=texts.dim, seed=0
        )


@pytest.mark.parametrize("shape", [(4, 7), (64,), (1, 4, 7), (1, 1, 4, 64)])
def test_vectors_of_another_width_are_refused(shape: tuple[int, ...]) -> None:
    texts, _ = sides()
    with pytest.raises(ValueError, match="is not"):
        ContextTextEncoder(texts, torch.zeros(shape))


def test_lite_learns_a_context_too(lite_base: Base) -> None:
    trained = build_classifier(
        "text",
        labels=["run", "jump"],
        encoder=lite_base.text_encoder,
        inputs=TextInputs("context"),
        dim=lite_base.dim,
        seed=0,
    )
    served = trained.served_encoder(lite_base.text_encoder)
    vectors, _ = served.encode(["run.", "jump."])
    torch.testing.assert_close(normalize(vectors, dim=-1), trained.rows().detach(), rtol=1e-4, atol=1e-5)
