from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from core.vocabulary import RecipeName, TemporalKind
from models.classifier.inputs import TextInputs
from models.classifier.rows import Classifier, build_classifier
from models.fitting.optimizer import build_optimizer, clamp_scale, parameter_groups, set_lr
from models.fitting.recipes import RECIPES
from models.recognition.video_model import VideoModel
from tests.models.conftest import tiny_base

CODE, OURS = RECIPES["text4vis"], RECIPES["default"]


def parts(
    kind: TemporalKind = "transformer", classifier: str = "text", mode: str = "template"
) -> tuple[VideoModel, Classifier]:
    base = tiny_base()
    inputs = TextInputs("context") if mode == "context" else TextInputs()
    made = build_classifier(
        classifier, labels=["a", "b", "c"], encoder=base.text_encoder, inputs=inputs, dim=base.dim, seed=0
    )
    return base.video_model(kind), made


def names(model: VideoModel, parameters: list[torch.nn.Parameter]) -> set[str]:
    by_id = {id(parameter): name for name, parameter in model.named_parameters()}
    return {by_id.get(id(parameter), "classifier") for parameter in parameters}


def test_tower_and_scale_learn_at_a_tenth_of_what_is_new() -> None:
    """Method §20 #6."""
    model, classifier = parts()
    pretrained, new = parameter_groups(model, classifier, CODE)
    assert (pretrained["name"], pretrained["lr"]) == ("pretrained", pytest.approx(5e-6))
    assert (new["name"], new["lr"]) == ("new", 5e-5)
    assert "logit_scale" in names(model, pretrained["params"])
    assert all(name.startswith(("tower.", "logit_scale")) for name in names(model, pretrained["params"]))
    assert all(name.startswith("temporal.") for name in names(model, new["params"]))
    assert len(pretrained["params"]) + len(new["params"]) == len(list(model.parameters()))


def test_token_conv_is_new() -> None:
    """Method §6: its weights go to the full-rate group."""
    model, classifier = parts("token_conv")
    _, new = parameter_groups(model, classifier, CODE)
    assert names(model, new["params"]) == {f"tower.time_blocks.{block}.weight" for block in range(2)}


def test_no_text_tower_parameter_is_optimised() -> None:
    base = tiny_base()
    classifier = build_classifier(
        "text", labels=["a", "b"], encoder=base.text_encoder, inputs=TextInputs("context"), dim=base.dim, seed=0
    )
    optimised = {
        id(p) for group in parameter_groups(base.video_model("mean"), classifier, OURS) for p in group["params"]
    }
    assert not optimised & {id(parameter) for parameter in base.text_encoder.module.parameters()}


def test_the_code_decays_everything_and_ours_weights_only() -> None:
    model, classifier = parts()
    assert {group["weight_decay"] for group in parameter_groups(model, classifier, CODE)} == {0.2}
    by_decay = {
        decays: [
            p
            for group in parameter_groups(model, classifier, OURS)
            if (group["weight_decay"] > 0) == decays
            for p in group["params"]
        ]
        for decays in (True, False)
    }
    assert all(parameter.ndim >= 2 for parameter in by_decay[True])
    assert all(parameter.ndim < 2 for parameter in by_decay[False])
    assert "logit_scale" in names(model, by_decay[False])


@pytest.mark.parametrize(("kind", "mode"), [("learned", "template"), ("text", "context")])
def test_what_the_classifier_learns_is_new(kind: str, mode: str) -> None:
    model, classifier = parts("mean", kind, mode)
    new = [group for group in parameter_groups(model, classifier, OURS) if group["name"] == "new"]
    assert [group["ratio"] for group in new] == [1.0]
    assert names(model, new[0]["params"]) == {"classifier"}


def test_a_projection_alone_moves_like_a_new_module_and_the_frozen_trunk_not_at_all() -> None:
    model, classifier = parts("mean")
    model.tower.requires_grad_(False)
    for _, parameter in model.tower.projection_parameters():
        parameter.requires_grad_(True)
    made = parameter_groups(model, classifier, OURS, tune="projection")
    assert {tuple(sorted(names(model, group["params"]))): group["ratio"] for group in made} == {
        ("tower.visual.proj",): 1.0,
        ("logit_scale",): 0.1,
    }


def test_set_lr_keeps_the_ratio() -> None:
    model, classifier = parts()
    optimizer = build_optimizer(model, classifier, CODE)
    set_lr(optimizer, 2e-5)
    assert [group["lr"] for group in optimizer.param_groups] == [pytest.approx(2e-6), 2e-5]
    assert optimizer.defaults["betas"] == (0.9, 0.98)
    assert build_optimizer(model, classifier, replace(CODE, eps=1e-6)).defaults["eps"] == 1e-6
    asked = build_optimizer(model, classifier, CODE, lr=1e-3)
    assert [group["lr"] for group in asked.param_groups] == [pytest.approx(1e-4), 1e-3]


def test_a_run_that_began_without_the_fused_step_goes_on_without_it() -> None:
    """So that the checkpoint of an earlier release ends with the weights that it would have ended with."""
    model, classifier = parts()
    saved = build_optimizer(model, classifier, CODE).state_dict()
    assert all(group["fused"] for group in saved["param_groups"])
    for group in saved["param_groups"]:
        group["fused"] = None
    resumed = build_optimizer(model, classifier, CODE)
    resumed.load_state_dict(saved)
    assert not any(group["fused"] for group in resumed.param_groups)


def test_nothing_to_train_is_said() -> None:
    model, classifier = parts("mean")
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="nothing"):
        build_optimizer(model, classifier, OURS)


@pytest.mark.parametrize(
    ("recipe", "start", "now", "expected"),
    [("default", 90.0, 120.0, 100.0), ("default", 117.0, 120.0, 117.0), ("text4vis", 90.0, 120.0, 120.0)],
)
def test_the_scale_is_held_below_the_bound_or_where_it_started(
    recipe: RecipeName, start: float, now: float, expected: float
) -> None:
    model, _ = parts("mean")
    with torch.no_grad():
        model.logit_scale.fill_(math.log(now))
    clamp_scale(model, RECIPES[recipe], start)
    assert float(model.logit_scale.detach().exp()) == pytest.approx(expected, rel=1e-5)
