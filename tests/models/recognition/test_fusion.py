"""Levels of fusion (ViFi-CLIP, Table 5): what is trained, and what is served."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from models.fitting.objectives import CrossEntropy, Targets
from models.profiles.profile import Profile
from models.recognition.scoring import score
from models.recognition.temporal import mean_head
from tests.models.conftest import tiny_profile

SCALE = 5.0
FEATURES = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0)) * 5  # [B, T, d]
ROWS = normalize(torch.randn(6, 8, generator=torch.Generator().manual_seed(1)), dim=-1)
LABELS = torch.tensor([0, 5, 2])
BY_FRAME = SCALE * normalize(FEATURES, dim=-1) @ ROWS.T  # [B, T, C]


def loss(objective: CrossEntropy) -> float:
    video = FEATURES if objective.reads_frames else mean_head(objective.fusion)(FEATURES)
    targets = Targets(LABELS, torch.ones(3))
    return float(objective(video, targets, ROWS, torch.tensor(SCALE).log()))


def test_the_decision_averages_logits_in_training_and_in_serving() -> None:
    logits = BY_FRAME.mean(dim=1)  # [B, C]
    assert loss(CrossEntropy("decision")) == pytest.approx(
        float(cross_entropy(logits, LABELS, reduction="sum")), rel=1e-5
    )
    for clip in range(3):
        views = mean_head("decision")(FEATURES[clip : clip + 1])  # [1, d]
        served = score(views, ROWS, SCALE, "features", "decision")
        torch.testing.assert_close(served.probabilities, logits[clip].softmax(dim=-1))
        assert not torch.allclose(score(views, ROWS, SCALE, "features").probabilities, served.probabilities, atol=1e-3)


def test_views_of_a_decision_are_averaged_as_their_frames_are() -> None:
    views = mean_head("decision")(FEATURES)  # three views of one video
    expected = BY_FRAME.mean(dim=(0, 1)).softmax(dim=-1)
    for aggregate in ("features", "logits"):
        torch.testing.assert_close(score(views, ROWS, SCALE, aggregate, "decision").probabilities, expected)


def test_an_image_has_a_loss_of_its_own() -> None:
    repeated = LABELS.unsqueeze(1).expand(3, 4)
    expected = cross_entropy(BY_FRAME.flatten(0, 1), repeated.flatten(), reduction="sum") / 4
    assert loss(CrossEntropy("image")) == pytest.approx(float(expected), rel=1e-5)
    assert loss(CrossEntropy("image")) > loss(CrossEntropy("decision")), "by Jensen's inequality"


def test_smoothing_and_mixed_targets_are_soft_targets() -> None:
    """Method §12: off-value s/C, on-value 1 - s + s/C; the target of a mixed clip is mixed as its pixels are."""
    others, shares = torch.tensor([1, 1, 2]), torch.tensor([0.3, 1.0, 0.6])
    soft = torch.full((3, 6), 0.1 / 6)
    soft[torch.arange(3), LABELS] += 0.9 * shares
    soft[torch.arange(3), others] += 0.9 * (1 - shares)
    video = FEATURES.mean(dim=1)
    logits = SCALE * normalize(video, dim=-1) @ ROWS.T
    targets = Targets(LABELS, torch.tensor([1.0, 1.0, 0.0]), others, shares)
    found = CrossEntropy(smoothing=0.1)(video, targets, ROWS, torch.tensor(SCALE).log())
    expected = -(soft * logits.log_softmax(dim=-1)).sum(dim=-1)[:2].sum()
    torch.testing.assert_close(found, expected)


def test_cards_of_earlier_versions_fuse_embeddings() -> None:
    old = tiny_profile().to_dict()
    del old["fusion"]
    assert Profile.from_dict(old) == tiny_profile()
    fused = tiny_profile(fusion="decision")
    assert fused.vision_digest() == tiny_profile().vision_digest(), "vectors of frames are shared"
    assert fused.digest() != tiny_profile().digest()
