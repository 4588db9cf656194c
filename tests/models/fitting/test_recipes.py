from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.fitting.recipes import KINETICS_TEMPLATES, LARGE_DATA, RECIPES, Recipe, effective_batch

CODE, PAPER, OURS = RECIPES["text4vis-code"], RECIPES["text4vis-paper"], RECIPES["default"]


def test_the_code_s_column() -> None:
    """Method §8, T4V [C]."""
    assert CODE.lr == 5e-5
    assert CODE.lr * CODE.pretrained_ratio == pytest.approx(5e-6)
    assert (CODE.betas, CODE.eps, CODE.weight_decay, CODE.decay_all) == ((0.9, 0.999), 1e-8, 0.2, True)
    assert (CODE.warmup_epochs, CODE.epochs, CODE.min_lr_ratio, CODE.lr_every) == (5, 30, 0.0, 10)
    assert (CODE.batch, CODE.min_updates, CODE.precision, CODE.seed) == (256, 1, "fp16", 1024)
    assert CODE.grad_clip is None
    assert CODE.max_scale is None
    assert (CODE.text_inputs, CODE.templates) == ("template", ("a video of a person {}.",))
    assert (CODE.frames, CODE.temporal, CODE.temporal_init) == (8, "transformer", "random")
    assert (CODE.augment.area, CODE.augment.flip, CODE.augment.grayscale) == ((0.08, 1.0), 0.5, 0.2)


def test_the_paper_s_column() -> None:
    """Method §8, Table A.3: what differs from the code's."""
    assert (PAPER.lr, PAPER.pretrained_ratio) == (5e-5, 1.0)
    assert PAPER.lr * PAPER.min_lr_ratio == pytest.approx(5e-6)
    assert (PAPER.betas, PAPER.weight_decay, PAPER.epochs, PAPER.batch) == ((0.9, 0.98), 0.2, 30, 256)
    named = {
        "name",
        "pretrained_ratio",
        "betas",
        "min_lr_ratio",
        "lr_every",
        "few_shot_epochs",
        "few_shot_epochs_large",
    }
    code, paper = CODE.to_dict(), PAPER.to_dict()
    assert {key for key in code if code[key] != paper[key]} == named


def test_ours_follows_the_rulings() -> None:
    """Method §8 [D]."""
    assert OURS.decay_all is False
    assert (OURS.max_scale, OURS.grad_clip, OURS.precision, OURS.min_lr_ratio) == (100.0, 1.0, "auto", 0.0)
    assert OURS.betas == (0.9, 0.999)  # §16 #2


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_randaugment_is_for_large_data(recipe: Recipe) -> None:
    """Method §16 #4: on in Kinetics' logs (240 k clips), off in UCF's, HMDB's and ActivityNet's (at most 10 k)."""
    assert recipe.for_data(240_000).augment.randaugment == (2, 9)
    assert recipe.for_data(10_000).augment.randaugment is None
    assert recipe.for_data(10_000).augment.area == recipe.augment.area


def test_the_transformer_is_for_large_data_in_ours_only() -> None:
    assert OURS.for_data(100).temporal == "mean"
    assert OURS.for_data(LARGE_DATA).temporal == "transformer"
    assert CODE.for_data(100).temporal == PAPER.for_data(100).temporal == "transformer"


def test_lite_takes_longer_steps_and_the_published_recipes_stay_as_they_are() -> None:
    lite = OURS.for_base("lite")
    assert lite.lr == 20 * OURS.lr
    assert lite.epochs == 10
    assert lite.warmup_epochs / lite.epochs == pytest.approx(5 / 30)
    assert OURS.for_base("ViT-B-16-quickgelu") == OURS
    assert CODE.for_base("lite") == CODE
    assert PAPER.for_base("lite") == PAPER


@pytest.mark.parametrize(
    ("recipe", "clips", "epochs"),
    [(PAPER, 240_000, 2), (PAPER, 9_537, 10), (CODE, 240_000, 30), (CODE, 3_570, 30), (OURS, 100, 10)],
)
def test_few_shot_epochs_and_head(recipe: Recipe, clips: int, epochs: float) -> None:
    """Paper §B.1 and §4.2; the code's YAML files (method §10)."""
    few = recipe.few_shot(clips)
    assert (few.epochs, few.temporal) == (epochs, "mean")
    assert few.warmup_epochs < few.epochs


def test_a_shorter_run_warms_up_for_the_same_share_and_a_longer_one_for_the_same_epochs() -> None:
    assert CODE.with_epochs(6).warmup_epochs == pytest.approx(1)
    assert CODE.with_epochs(60).warmup_epochs == 5
    assert CODE.with_epochs(30) == CODE


@given(clips=st.integers(8, 300_000))
def test_an_epoch_of_ours_has_eight_updates_or_more(clips: int) -> None:
    batch = effective_batch(OURS, clips)
    assert 1 <= batch <= 256
    assert -(-clips // batch) >= 8
    assert effective_batch(CODE, clips) == min(256, clips)
    assert effective_batch(OURS, clips, 7) == 7


def test_the_grid_of_28_templates() -> None:
    assert len(set(KINETICS_TEMPLATES)) == 28
    assert {"a photo of {}.", "a video of a person {}.", "a demonstration of a person practicing {}."} < set(
        KINETICS_TEMPLATES
    )


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_card_holds_every_number(recipe: Recipe) -> None:
    said = json.loads(json.dumps(recipe.to_dict()))
    assert said["lr"] == recipe.lr
    assert said["augment"]["flip"] == 0.5
