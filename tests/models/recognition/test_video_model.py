"""Video models: halves that make the whole, parameters that can be told apart, statistics that stay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.vocabulary import TemporalKind
from models.recognition.base import Base
from models.recognition.video_model import VideoModel
from tests.models.conftest import clips, resnet_base, tiny_base


@pytest.fixture(params=["vit", "resnet", "lite"])
def base(request: pytest.FixtureRequest) -> Base:
    if request.param == "lite":
        return request.getfixturevalue("lite_base")  # type: ignore[no-any-return]
    return tiny_base() if request.param == "vit" else resnet_base()


def everything(base: Base) -> list[VideoModel]:
    torch.manual_seed(0)
    kinds: tuple[TemporalKind, ...] = ("conv",) if base.architecture == "lite" else base.tower.heads
    return [base.video_model(kind) for kind in kinds]


@torch.no_grad()
def test_a_kept_trunk_gives_the_same_vectors(base: Base) -> None:
    pixels = clips(2, 3)
    for model in everything(base):
        model.eval()
        torch.testing.assert_close(model.from_trunk(model.trunk(pixels)), model(pixels))
        assert model(pixels).shape == (2, base.dim)


def test_the_projection_is_what_learns_behind_a_kept_trunk(base: Base) -> None:
    model = base.video_model("mean").train()
    loss: torch.Tensor = model.from_trunk(model.trunk(clips(2, 2)).detach()).square().sum()
    torch.autograd.backward(loss)
    learned = {name for name, parameter in model.tower.named_parameters() if parameter.grad is not None}
    assert learned == {name for name, _ in model.tower.projection_parameters()}
    assert learned


def test_every_parameter_has_one_role(base: Base) -> None:
    for model in everything(base):
        found = list(model.parameters_by_role())
        roles = {name: role for role, name, _ in found}
        assert len(roles) == len(found)
        assert {name: parameter for _, name, parameter in found} == dict(model.named_parameters())
        assert roles.pop("logit_scale") == "scale"
        new = {name for name, role in roles.items() if role == "head"}
        assert new == {name for name in roles if name.startswith(("temporal.", "tower.time_blocks."))}
        assert bool(new) == (model.kind != "mean")
        assert {roles[name] for name in roles.keys() - new} == {"image_tower"}


def test_the_scale_is_learned_as_its_logarithm() -> None:
    """exp(s) of the base, which is open_clip's start, 1 / 0.07."""
    base = tiny_base()
    assert base.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)
    assert float(base.video_model("mean").logit_scale.detach().exp()) == pytest.approx(base.logit_scale, rel=1e-5)


def test_all_parameters_learn_and_no_text_tower_is_among_them(base: Base) -> None:
    for model in everything(base):
        assert all(parameter.requires_grad and parameter.dtype == torch.float32 for parameter in model.parameters())
        assert not {id(p) for p in base.text_encoder.module.parameters()} & {id(p) for p in model.parameters()}


@pytest.mark.parametrize("architecture", ["resnet", "lite"])
def test_batch_norms_keep_their_statistics_and_learn_their_affine(
    architecture: str, request: pytest.FixtureRequest
) -> None:
    base: Base = resnet_base() if architecture == "resnet" else request.getfixturevalue("lite_base")
    model = base.video_model("mean").train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    before = [(norm.running_mean, norm.running_var) for norm in norms]
    before = [(mean.clone(), var.clone()) for mean, var in before if mean is not None and var is not None]
    model(clips(2, 2)).square().sum().backward()
    for norm, (mean, var) in zip(norms, before, strict=True):
        assert torch.equal(norm.running_mean, mean)  # type: ignore[arg-type]
        assert torch.equal(norm.running_var, var)  # type: ignore[arg-type]
        assert norm.weight.grad is not None
        assert (norm.weight.grad != 0).any()


def gradients(model: VideoModel, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model(pixels).square().sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_checkpointing_changes_no_gradient(base: Base) -> None:
    pixels = clips(1, 2)
    for model in everything(base):
        plain = gradients(model.train(), pixels)
        model.tower.set_grad_checkpointing(True)
        again = gradients(model, pixels)
        assert plain.keys() == again.keys()
        for name, gradient in plain.items():
            torch.testing.assert_close(again[name], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["mean", "transformer", "token_conv"])
def test_training_a_copy_leaves_the_base_alone(kind: TemporalKind) -> None:
    base = tiny_base()
    before = {name: tensor.clone() for name, tensor in base.tower.state_dict().items()}
    model = base.video_model(kind)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    model(clips(1, 2)).square().sum().backward()
    optimiser.step()
    assert not base.tower.mixes_time
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.tower.state_dict().items())
