from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.fitting.recipes import KINETICS_TEMPLATES, LARGE_DATA, RECIPES, Recipe, effective_batch

LOGS, CODE_2023, OURS = RECIPES["text4vis"], RECIPES["text4vis-2023"], RECIPES["default"]


def test_text4vis_is_what_made_the_published_numbers() -> None:
    """Method §8, T4V [C] and [L]; §16 #2 to #5."""
    assert LOGS.lr == 5e-5
    assert LOGS.lr * LOGS.pretrained_ratio == pytest.approx(5e-6)
    assert (LOGS.betas, LOGS.eps, LOGS.weight_decay, LOGS.decay_all) == ((0.9, 0.98), 1e-8, 0.2, True)
    assert (LOGS.warmup_epochs, LOGS.epochs, LOGS.min_lr_ratio, LOGS.lr_every) == (5, 30, 0.0, 10)
    assert (LOGS.batch, LOGS.min_updates, LOGS.precision, LOGS.seed) == (256, 1, "fp16", 1024)
    assert LOGS.grad_clip is None
    assert LOGS.max_scale is None
    assert (LOGS.text_inputs, LOGS.templates) == ("template", ("a video of a person {}.",))
    assert (LOGS.frames, LOGS.temporal, LOGS.temporal_init) == (8, "transformer", "random")
    assert (LOGS.augment.area, LOGS.augment.flip, LOGS.augment.grayscale) == ((0.08, 1.0), 0.5, 0.2)
    assert LOGS.augment.randaugment == (2, 9)


def test_the_code_of_2023_differs_in_two_changes_and_its_configuration_files() -> None:
    """Method §16 #2, #4 (commit d9a6b53) and #5."""
    assert CODE_2023.betas == (0.9, 0.999)
    assert CODE_2023.augment.randaugment is None
    assert (CODE_2023.few_shot_epochs, CODE_2023.few_shot_epochs_large) == (30, 30)
    logs, code = LOGS.to_dict(), CODE_2023.to_dict()
    named = {"name", "betas", "augment", "few_shot_epochs", "few_shot_epochs_large"}
    assert {key for key in code if code[key] != logs[key]} == named
    assert {key for key in code["augment"] if code["augment"][key] != logs["augment"][key]} == {"randaugment"}


def test_ours_follows_the_rulings() -> None:
    """Method §8 [D]."""
    assert OURS.decay_all is False
    assert (OURS.max_scale, OURS.grad_clip, OURS.precision, OURS.min_lr_ratio) == (100.0, 1.0, "auto", 0.0)
    assert OURS.betas == (0.9, 0.98)  # §16 #2


@pytest.mark.parametrize("recipe", [LOGS, OURS], ids=lambda recipe: recipe.name)
def test_randaugment_is_for_large_data(recipe: Recipe) -> None:
    """Method §16 #4: on in Kinetics' logs (240 k clips), off in UCF's, HMDB's and ActivityNet's (at most 10 k)."""
    assert recipe.for_data(240_000).augment.randaugment == (2, 9)
    assert recipe.for_data(10_000).augment.randaugment is None
    assert recipe.for_data(10_000).augment.area == recipe.augment.area


def test_the_transformer_is_for_large_data_in_ours_only() -> None:
    assert OURS.for_data(100).temporal == "mean"
    assert OURS.for_data(LARGE_DATA).temporal == "transformer"
    assert LOGS.for_data(100).temporal == CODE_2023.for_data(100).temporal == "transformer"


def test_lite_takes_longer_steps_and_the_published_recipes_stay_as_they_are() -> None:
    lite = OURS.for_base("lite")
    assert lite.lr == 20 * OURS.lr
    assert lite.epochs == 10
    assert lite.warmup_epochs / lite.epochs == pytest.approx(5 / 30)
    assert OURS.for_base("ViT-B-16-quickgelu") == OURS
    assert LOGS.for_base("lite") == LOGS
    assert CODE_2023.for_base("lite") == CODE_2023


@pytest.mark.parametrize(
    ("recipe", "clips", "epochs"),
    [(LOGS, 240_000, 2), (LOGS, 9_537, 10), (CODE_2023, 240_000, 30), (CODE_2023, 3_570, 30), (OURS, 100, 10)],
)
def test_few_shot_epochs_and_head(recipe: Recipe, clips: int, epochs: float) -> None:
    """Paper §B.1 and §4.2; the code's YAML files (method §10)."""
    few = recipe.few_shot(clips)
    assert (few.epochs, few.temporal) == (epochs, "mean")
    assert few.warmup_epochs < few.epochs


def test_a_shorter_run_warms_up_for_the_same_share_and_a_longer_one_for_the_same_epochs() -> None:
    assert LOGS.with_epochs(6).warmup_epochs == pytest.approx(1)
    assert LOGS.with_epochs(60).warmup_epochs == 5
    assert LOGS.with_epochs(30) == LOGS


@given(clips=st.integers(8, 300_000))
def test_an_epoch_of_ours_has_eight_updates_or_more(clips: int) -> None:
    batch = effective_batch(OURS, clips)
    assert 1 <= batch <= 256
    assert -(-clips // batch) >= 8
    assert effective_batch(LOGS, clips) == min(256, clips)
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


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_tokent1d_starts_as_the_shift_in_every_recipe(recipe: Recipe) -> None:
    """Method §6. Our T1D starts as the identity."""
    assert recipe.init_of("token_conv") == "shift"
    assert recipe.init_of("conv") == "identity"
    assert recipe.init_of("transformer") == recipe.temporal_init
