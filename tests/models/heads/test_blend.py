"""The blend of the base's own scores with a head's, and the coordinates that it becomes."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize

from models.heads.blend import MOST_SHARE, Blend, centred, fit_coordinates, own_scores
from models.heads.linear import Span
from tests.models.heads.conftest import Clouds, clouds

LENGTH = 0.2


def test_scores_of_the_extended_vectors_are_the_blend(made: Clouds) -> None:
    """Also where two rows are nearly equal."""
    rows = made.rows.clone()
    rows[1] = normalize(rows[0] + 0.05 * rows[1], dim=0)
    found = fit_coordinates(made.features, made.videos, made.labels, rows, row_length=LENGTH, sharpness=2.0)
    other = clouds(5, seed=9)
    videos = torch.cat([other.videos, other.features @ found.weight + found.bias], dim=1)
    extended = torch.cat([rows, LENGTH * torch.eye(3)], dim=1)
    x = Span.of(made.features).project(other.features)
    own = other.videos.double() @ rows.double().T / float(made.videos.norm(dim=1).mean())
    expected = centred(found.blend(x, own))
    unit = (1 - found.blend.share) / found.blend.length / float(made.videos.norm(dim=1).mean())
    torch.testing.assert_close(centred(videos @ extended.T).double() * unit, expected, rtol=1e-3, atol=1e-3)


def test_the_base_counts_as_many_clips_as_its_skill_says() -> None:
    skilled, blind = clouds(2, hint=30.0), clouds(2, hint=0.0, seed=3)
    for made in (skilled, blind):
        blend = Blend.fit(
            Span.of(made.features).project(made.features), own_scores(made.videos, made.rows), made.labels
        )
        assert blend.share == pytest.approx(min(MOST_SHARE, 2 / (2 + blend.skill)))
    assert Blend.fit(
        Span.of(skilled.features).project(skilled.features), own_scores(skilled.videos, skilled.rows), skilled.labels
    ).skill == pytest.approx((7 / 9 - 1 / 3) / (2 / 3))


def test_probabilities_have_the_asked_sharpness(made: Clouds) -> None:
    rows = torch.cat([made.rows, LENGTH * torch.eye(3)], dim=1) / math.sqrt(1 + LENGTH**2)
    found = fit_coordinates(made.features, made.videos, made.labels, made.rows, row_length=LENGTH, sharpness=3.0)
    videos = torch.cat([made.videos, made.features @ found.weight + found.bias], dim=1)
    logits = found.scale * normalize(videos, dim=1) @ rows.T
    x = Span.of(made.features).project(made.features)
    wanted = 3.0 * found.blend(x, own_scores(made.videos, made.rows))
    assert float(centred(logits).std() / wanted.std()) == pytest.approx(1.0, abs=0.1)
