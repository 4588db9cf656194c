from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from models.classifier.rows import TextInputs, build
from models.recognition.base import Base
from models.text.context import ContextText
from models.text.encoders import TextSide
from tests.models.conftest import tiny_base


def sides() -> tuple[TextSide, ContextText]:
    texts = tiny_base().texts
    assert texts.context_width is not None
    return texts, ContextText(texts, torch.randn(4, texts.context_width, generator=torch.Generator().manual_seed(0)))


def test_any_labels_are_read_behind_the_context_that_was_learned() -> None:
    texts, _ = sides()
    inputs = TextInputs("context")
    trained = build("text", labels=["run", "jump"], texts=texts, inputs=inputs, dim=texts.dim, seed=0)
    served = trained.served_texts(texts)
    vectors, truncated = served.encode([inputs.served[0].replace("{}", label) for label in ("jump", "run", "swim")])
    torch.testing.assert_close(normalize(vectors[[1, 0]], dim=-1), trained.rows().detach(), rtol=1e-4, atol=1e-5)
    assert truncated == [False] * 3
    assert not vectors.requires_grad


def test_the_context_changes_the_vectors_and_their_address() -> None:
    texts, context = sides()
    other = ContextText(texts, context.context + 0.1)
    assert not torch.allclose(context.encode(["a cat"])[0], texts.encode(["a cat"])[0])
    assert len({texts.digest, context.digest, other.digest}) == 3
    assert ContextText(texts, context.context.clone()).digest == context.digest
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
        build("text", labels=["a", "b"], texts=context, inputs=TextInputs("context"), dim=texts.dim, seed=0)


@pytest.mark.parametrize("shape", [(4, 7), (64,), (1, 4, 64)])
def test_vectors_of_another_width_are_refused(shape: tuple[int, ...]) -> None:
    texts, _ = sides()
    with pytest.raises(ValueError, match="is not"):
        ContextText(texts, torch.zeros(shape))


def test_lite_learns_a_context_too(lite_base: Base) -> None:
    trained = build(
        "text", labels=["run", "jump"], texts=lite_base.texts, inputs=TextInputs("context"), dim=lite_base.dim, seed=0
    )
    served = trained.served_texts(lite_base.texts)
    vectors, _ = served.encode(["run.", "jump."])
    torch.testing.assert_close(normalize(vectors, dim=-1), trained.rows().detach(), rtol=1e-4, atol=1e-5)
