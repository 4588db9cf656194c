"""Labels that are near a trained class get its coordinate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from models.text.anchored_encoder import LENGTH, AnchoredTextEncoder
from tests.models.conftest import tiny_base

WORDS = {
    "a fight": [1.0, 0.0, 0.0],
    "no fight": [0.95, 0.3, 0.0],
    "a brawl": [0.98, 0.0, 0.2],
    "a tree": [0.0, 0.0, 1.0],
}


class Words:
    dim = 3
    digest = "words"
    context_width = None
    module = nn.Identity()

    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        return 7 * torch.tensor([WORDS[text] for text in texts]), [False] * len(texts)

    def encode_with_context(self, texts: list[str], context: Tensor) -> Tensor:
        raise TypeError(texts, context)


@pytest.fixture
def encoder() -> AnchoredTextEncoder:
    trained = ["a fight", "no fight"]
    return AnchoredTextEncoder(Words(), normalize(Words().encode(trained)[0], dim=1), torch.tensor([0, 1]))


def test_a_trained_class_has_its_own_coordinate_and_an_unrelated_label_none(encoder: AnchoredTextEncoder) -> None:
    vectors, truncated = encoder.encode(list(WORDS))
    assert vectors.shape == (4, encoder.dim) == (4, 5)
    assert truncated == [False] * 4
    torch.testing.assert_close(vectors[:, :3], Words().encode(list(WORDS))[0], rtol=0, atol=0)
    added = vectors[:, 3:] / vectors[:, :3].norm(dim=1, keepdim=True) / LENGTH
    torch.testing.assert_close(added[:2], torch.eye(2), rtol=0, atol=1e-4)
    assert float(added[2, 0]) > 0.5 > abs(float(added[2, 1]))  # a brawl is nearly a fight
    assert float(added[3].abs().max()) < 1e-3


def test_its_digest_follows_encoder_and_anchors(encoder: AnchoredTextEncoder) -> None:
    other = AnchoredTextEncoder(Words(), encoder.anchors.flip(0), encoder.classes)
    assert len({encoder.digest, other.digest, Words.digest}) == 3


def test_anchors_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="not \\[A, 3\\]"):
        AnchoredTextEncoder(Words(), torch.eye(4), torch.arange(4))


def test_a_context_changes_the_vectors_and_not_what_the_classes_get() -> None:
    texts = tiny_base().text_encoder
    assert texts.context_width is not None
    anchors = texts.encode(["a video of a fight", "a video of no fight"])[0]
    assert AnchoredTextEncoder(texts, anchors, torch.tensor([0, 1])).context_width is None
    encoder = AnchoredTextEncoder(texts, anchors, torch.tensor([0, 1]), ["a video of {}"])
    context = torch.randn(2, 3, texts.context_width, generator=torch.Generator().manual_seed(0)).requires_grad_()
    vectors = encoder.encode_with_context(["no fight."], context)
    torch.testing.assert_close(vectors[:, :-2], texts.encode_with_context(["no fight."], context))
    added = vectors[:, -2:] / vectors[:, :-2].norm(dim=1, keepdim=True) / LENGTH
    torch.testing.assert_close(added, torch.tensor([[0.0, 1.0]]), rtol=0, atol=1e-4)
    torch.autograd.backward(vectors[:, 0].sum())
    assert context.grad is not None
