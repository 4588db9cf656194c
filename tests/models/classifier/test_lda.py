from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch.nn.functional import cosine_similarity, normalize

from models.classifier.lda import discriminants

DIM = 48
SPREAD = 3 * torch.exp(-torch.arange(DIM) / 12)  # a few directions vary much, most hardly: as in real features


def toy(classes: int, per_class: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes whose means differ in every direction in proportion to how much it varies within a class."""
    means = torch.randn(classes, DIM, generator=torch.Generator().manual_seed(1)) * SPREAD
    labels = torch.arange(classes).repeat_interleave(per_class)
    noise = torch.randn(len(labels), DIM, generator=torch.Generator().manual_seed(seed))
    return means[labels] + noise * SPREAD * 0.7, labels


def accuracy(rows: torch.Tensor, classes: int) -> float:
    """As in a model: normalised rows against normalised features, without the intercept."""
    features, labels = toy(classes, 50, seed=99)
    best = (normalize(features, dim=-1) @ normalize(rows, dim=-1).T).argmax(dim=1)
    return float((best == labels).float().mean())


@pytest.mark.parametrize(("classes", "per_class"), [(2, 4), (5, 3), (5, 10), (5, 60), (5, 200)])
def test_separable_classes_are_recovered(classes: int, per_class: int) -> None:
    """Method §20 #3; with more than 10 · d features by the default solver, else with shrinkage."""
    rows = discriminants(*toy(classes, per_class), classes)
    assert rows.shape == (classes, DIM)
    assert rows.dtype == torch.float32
    assert accuracy(rows, classes) > 0.95


def test_two_videos_of_a_class_suffice() -> None:
    """scikit-learn's own shrinkage="auto" estimates none at all from pairs, and its rows are worth little."""
    features, labels = toy(5, 2)
    automatic = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(features.numpy(), labels.numpy())
    centred = torch.tensor(automatic.coef_ - automatic.coef_.mean(axis=0)).float()
    assert accuracy(discriminants(features, labels, 5), 5) > max(0.85, accuracy(centred, 5) + 0.1)


def test_enough_data_gives_scikit_learn_s_coefficients() -> None:
    features, labels = toy(5, 10 * DIM // 5)
    expected = LinearDiscriminantAnalysis().fit(features.double().numpy(), labels.numpy()).coef_
    torch.testing.assert_close(discriminants(features, labels, 5), torch.tensor(expected).float())


def test_both_solvers_mean_the_same_rows() -> None:
    """With one video less than enough the shrinking solver takes over, whose rows are made relative to the mean too."""
    features, labels = toy(5, 10 * DIM // 5)
    features = features + 20  # far from the origin, as real features are
    by_default, by_shrinking = discriminants(features, labels, 5), discriminants(features[:-1], labels[:-1], 5)
    assert float(cosine_similarity(by_default, by_shrinking).min()) > 0.8
    assert float((normalize(by_shrinking, dim=-1) @ normalize(by_shrinking, dim=-1).T).min()) < 0


def test_two_classes_have_opposite_rows() -> None:
    for per_class in (4, 10 * DIM):
        rows = discriminants(*toy(2, per_class), 2)
        torch.testing.assert_close(rows[0], -rows[1])


def test_a_class_with_one_video_counts() -> None:
    features, labels = toy(4, 6)
    kept = torch.cat([torch.arange(19)])  # one video of the last class
    rows = discriminants(features[kept], labels[kept], 4)
    assert torch.isfinite(rows).all()
    assert accuracy(rows, 4) > 0.7


def test_unequal_classes_are_centred_by_their_sizes() -> None:
    """The mean is that of the videos, as in the default solver."""
    features, labels = toy(3, 20)
    kept = torch.cat([torch.arange(30), torch.arange(40, 45)])
    rows = discriminants(features[kept], labels[kept], 3)
    counts = np.bincount(labels[kept].numpy())
    weighted = torch.tensor(counts / counts.sum()).float() @ rows
    assert float(weighted.norm()) < 1e-4 * float(rows.norm())


@pytest.mark.parametrize(
    ("labels", "classes", "said"),
    [
        ([0, 0, 2, 2], 3, "class 1 has none"),
        ([0, 1, 2], 3, "two or more videos"),
        ([0, 0], 1, "two or more"),
        ([0, 3], 2, "from 0"),
    ],
)
def test_data_that_cannot_do_is_refused(labels: list[int], classes: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        discriminants(torch.randn(len(labels), DIM), torch.tensor(labels), classes)
