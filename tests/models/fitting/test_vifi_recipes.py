"""The recipes of ViFi-CLIP are the released code: method §8, §12, §3.2."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from timm.scheduler.cosine_lr import CosineLRScheduler

from core.vocabulary import METHOD_RECIPES, MethodName, RecipeName
from models.fitting.methods import METHODS
from models.fitting.mixing import Mixing
from models.fitting.schedule import lr_at
from models.fitting.vifi_recipes import VIFI_DEFAULT
from models.frames.augmentation import VIFI
from tests.models.conftest import tiny_profile

# Method §12, by hand: rate, epochs, batch, frames, views
TABLE: dict[tuple[MethodName, RecipeName], tuple[float, float, int, int, str]] = {
    ("vifi", "vifi-zero-shot"): (8e-6, 10, 256, 32, "1x1"),
    ("vifi", "vifi-supervised"): (2.2e-5, 30, 512, 16, "4x3"),
    ("image_only", "vifi-zero-shot"): (8e-6, 10, 256, 32, "1x1"),
    ("text_only", "vifi-supervised"): (8e-6, 30, 256, 16, "4x3"),
    ("vifi", "vifi-base-to-novel"): (2e-6, 11, 64, 32, "1x1"),
    ("vifi", "vifi-few-shot"): (2e-6, 50, 64, 32, "1x1"),
}


@pytest.mark.parametrize(("method", "name"), TABLE)
def test_a_recipe_is_its_row_of_the_table(method: MethodName, name: RecipeName) -> None:
    recipe = METHODS[method].recipe(name)
    assert (recipe.lr, recipe.epochs, recipe.batch, recipe.frames, recipe.views) == TABLE[method, name]
    assert recipe.few_shot(400).epochs == recipe.epochs
    assert (recipe.warmup_epochs, recipe.min_lr_ratio, recipe.whole_cosine) == (5, 0.01, True)
    assert (recipe.betas, recipe.eps, recipe.weight_decay, recipe.decay_all) == ((0.9, 0.98), 1e-8, 0.001, True)
    assert (recipe.grad_clip, recipe.max_scale, recipe.drop_last, recipe.precision) == (None, None, True, "fp16")
    assert (recipe.mixing, recipe.smoothing, recipe.augment) == (Mixing(0.8, 1.0, 0.5), 0.1, VIFI)
    assert recipe.templates == ("a photo of a {}.",)
    assert set(recipe.rates("tower").values()) == {1.0}


def test_every_recipe_of_a_method_exists_under_its_name() -> None:
    for method, names in METHOD_RECIPES.items():
        assert [METHODS[method].recipe(name).name for name in names] == list(names)
    assert set(METHOD_RECIPES) == set(get_args(MethodName)) == set(METHODS)


def test_the_schedule_is_that_of_timm() -> None:
    """VFC optimizer.py 49-63, by steps: warm-up from 0, floor a hundredth."""
    per_epoch, epochs, rate = 7, 10, 8e-6
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    theirs = CosineLRScheduler(
        optimizer,
        t_initial=epochs * per_epoch,
        lr_min=rate / 100,
        warmup_lr_init=0,
        warmup_t=5 * per_epoch,
        cycle_limit=1,
        t_in_epochs=False,
    )
    for step in range(epochs * per_epoch):
        theirs.step_update(step)
        ours = lr_at(step / per_epoch, base=rate, warmup=5, total=epochs, min_ratio=0.01, whole_cosine=True)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9), step


def test_a_version_is_served_with_the_preprocessing_that_it_was_trained_with() -> None:
    profile = METHODS["vifi"].recipe("vifi-zero-shot").profile(tiny_profile(size=224, short_side=224))
    assert profile.mean == pytest.approx((0.485, 0.456, 0.406))
    assert profile.std == pytest.approx((0.229, 0.224, 0.225))
    served = profile.short_side, profile.sampling, profile.three_crop, profile.aggregate
    assert served == (256, "segment_center", "vfc", "probabilities")
    assert VIFI_DEFAULT.profile(tiny_profile()) == tiny_profile()
