"""The benchmarks of the methods run to their end: tiny bases and data, so the numbers mean nothing here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import baselines, generalisation, lite_text, method_cost, prompting
from benchmarks.clip_features import ClipFeatures
from benchmarks.method_runs import FRAMES, NOVEL, SOURCE, fit, render
from models.files.bases import clip_base, open_lite
from models.lite.backbones import WIDTH
from models.recognition.base import Base
from tests.models.conftest import tiny_base, tiny_clip, tiny_profile

NAMES, OTHERS = SOURCE[:3], NOVEL[:3]


@pytest.fixture
def base() -> Base:
    return clip_base("small-world", tiny_clip(), "ViT-B-16-quickgelu", tiny_profile())


def test_the_halves_of_the_names_are_apart_and_whole() -> None:
    assert (len(SOURCE), len(NOVEL), len({*SOURCE, *NOVEL})) == (24, 24, 48)


def test_films_come_in_rounds_and_again_with_the_same_seed(base: Base) -> None:
    films = render(base, NAMES, 2, (0, 1))
    assert films.clips.x.shape == (6, FRAMES, 3, 32, 32)
    assert films.clips.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert films.shots(1).x.equal(render(base, NAMES, 2, (0, 1)).clips.x[:3])
    assert not films.clips.x.equal(render(base, NAMES, 2, (0, 2)).clips.x)


def test_training_is_measured_as_it_is_served(base: Base) -> None:
    """More steps on the same few films than they need: they are known by heart, whichever method."""
    films = render(base, NAMES, 1, (0, 1))
    for method in ("vifi", "text4vis", "vision_only"):
        changes: Any = {"learning_rate": 3e-3}
        fitted = fit(base, method, films, 60, 0, **changes)
        assert fitted.top1(films) == 100.0, method


def test_a_bridge_is_the_trained_model(base: Base) -> None:
    films = render(base, NAMES, 2, (0, 1))
    fitted = fit(base, "vifi", films, 3, 0, learning_rate=1e-3)
    bridge = fitted.bridge(base)
    texts = ["a video of a red disc."]
    assert bridge.text_encoder.encode(texts)[0].equal(fitted.encoder.encode(texts)[0])
    assert not bridge.text_encoder.encode(texts)[0].equal(base.text_encoder.encode(texts)[0])
    x = films.clips.x[0]
    assert bridge.tower(x).equal(fitted.model.tower(x))
    assert bridge.logit_scale == pytest.approx(float(fitted.model.logit_scale.detach().exp()))
    again = fit(bridge, "vl_prompt", films, 2, 0)
    assert again.model.tower.prompts is not None
    of_text = sum(parameter.numel() for parameter in again.classifier.parameters())
    assert again.trained == again.model.tower.prompts.numel() + of_text


def test_generalisation_runs(base: Base) -> None:
    found = generalisation.measure(base, 1, 2, NAMES, OTHERS, 1, 1)
    assert set(found) == {"untrained", *(name for name, _, _ in generalisation.METHODS)}
    assert all(0 <= value <= 100 for sides in found.values() for side in sides for value in side)


def test_prompting_runs(base: Base) -> None:
    found, learned = prompting.measure(base, 1, 1, 1, NAMES, OTHERS, (1, 2), 1)
    assert len(found) == 2 + 2 * len(prompting.ARMS)
    assert learned["prompts without it"] == learned["prompts after the bridge"] < learned["full tuning without it"]


def test_baselines_run(base: Base) -> None:
    found = baselines.measure(base, 1, 2, NAMES, OTHERS, (1, 2), 1)
    assert found["vision_only", 2][1] == []  # its labels are closed
    assert len(found["contrastive, online text", 1][1]) == 1


def test_the_cost_of_a_step_is_measured() -> None:
    base = tiny_base()
    costs = {name: method_cost.seconds(base, method, changes, 1, 4) for name, method, changes in method_cost.RUNS}
    assert all(taken > 0 for taken, _ in costs.values())
    assert costs["vl_prompt"][1] < costs["text_only"][1] < costs["vifi"][1]


def test_text_only_on_features_runs(lite_dir: Path) -> None:
    """Two classes of random trunk outputs."""
    lite_base = open_lite(lite_dir / "models" / "lite")
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(44, 2, 2 * WIDTH, generator=draws)
    rows = torch.nn.functional.normalize(lite_base.text_encoder.encode(["walking", "fighting"])[0], dim=-1)
    labels = torch.arange(44) % 2
    clips = ClipFeatures(x, torch.randn(44, lite_base.dim), labels, rows, 100.0, ("walking", "fighting"), labels * 0)
    found = lite_text.measure("fight2", clips, lite_base, (1,), 1)
    assert [row.what.partition(": ")[2] for row in found] == ["zero-shot", "text_only", "text4vis"]
