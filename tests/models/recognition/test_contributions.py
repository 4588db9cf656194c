"""What each frame adds: the contributions are the similarity, taken apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from core.vocabulary import Fusion, TemporalKind
from models.recognition.contributions import contributions
from models.recognition.scoring import score
from models.recognition.temporal import MeanPool, UnitMean, build_head, mean_head
from tests.models.conftest import CPU, tiny_base

FUSIONS: tuple[Fusion, ...] = ("embedding", "decision", "image")


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_contributions_by_hand() -> None:
    """Frames (3, 0) and (0, 4): their mean is (1.5, 2), of length 2.5. For (1, 0): 1.5 / 2.5, all of the first."""
    frames, row = torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.tensor([1.0, 0.0])
    torch.testing.assert_close(contributions(frames, row), torch.tensor([0.6, 0.0], dtype=torch.float64))
    units = UnitMean().by_frame(frames[None])[0]
    torch.testing.assert_close(contributions(units, row, "decision"), torch.tensor([0.5, 0.0], dtype=torch.float64))


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**31), length=st.integers(1, 33), fusion=st.sampled_from(FUSIONS))
def test_they_sum_up_to_the_similarity(seed: int, length: int, fusion: Fusion) -> None:
    features, rows = drawn(seed, 1, length, 24) * 7 + 1, normalize(drawn(seed + 1, 5, 24), dim=-1)
    head = mean_head(fusion)
    similarities = score(head(features), rows, 100.0, "features", fusion).similarities
    by_frame = head.by_frame(features)[0]
    for row, similarity in zip(rows, similarities, strict=True):
        assert float(contributions(by_frame, row, fusion).sum()) == pytest.approx(float(similarity), abs=1e-5)


@pytest.mark.parametrize("kind", ["mean", "transformer"])
def test_the_outputs_of_a_temporal_head_are_taken_apart_in_the_same_way(kind: TemporalKind) -> None:
    torch.manual_seed(0)
    head = build_head(kind, dim=32, text_width=64).eval()
    features, row = drawn(3, 1, 6, 32), normalize(drawn(4, 32), dim=-1)
    found = contributions(head.by_frame(features)[0].detach(), row)
    similarity = score(head(features).detach(), row[None], 1.0, "features").similarities
    assert float(found.sum()) == pytest.approx(float(similarity), abs=1e-5)
    alone = contributions(MeanPool().by_frame(features)[0], row)
    assert torch.allclose(found, alone) is (kind == "mean")


@pytest.mark.parametrize(("kind", "reads"), [("mean", "frame"), ("transformer", "clip"), ("token_conv", "neighbours")])
def test_a_recogniser_says_what_a_contribution_has_seen(kind: TemporalKind, reads: str) -> None:
    base = tiny_base()
    model = base.video_model(kind)
    served = replace(base, tower=model.tower, temporal=model.temporal, temporal_kind=kind)
    recognizer = served.recognizer(CPU, torch.float32)
    assert recognizer.reads == reads
    features = drawn(0, 2, 4, 32)
    torch.testing.assert_close(recognizer.vectors_by_frame(features).mean(dim=1), recognizer.pool(features))
