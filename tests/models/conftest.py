"""What the tests of the recognisers share: a tiny random CLIP, `lite` assembled once, and real clips if they are
present."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import open_clip
import pytest
import torch

from models.files.bases import clip_base, open_lite
from models.frames.sampling import frame_indices
from models.frames.transforms import crop_frame
from models.lite import assembly
from models.profiles.profile import Profile
from models.recognition.base import Base
from models.recognition.recognizer import Recognizer

CPU = torch.device("cpu")


class Bomb:
    """A hostile pickle: unpickling it creates the folder `target`."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def tiny_clip(seed: int = 0, *, pool: str = "tok", quick_gelu: bool = False) -> torch.nn.Module:
    """CLIP with two layers of width 64 and random weights, otherwise like the real one."""
    torch.manual_seed(seed)
    model: torch.nn.Module = open_clip.CLIP(
        embed_dim=32,
        vision_cfg={"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8, "pool_type": pool},
        text_cfg={"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
        quick_gelu=quick_gelu,
    )
    return model.eval()


def tiny_resnet(seed: int = 0) -> torch.nn.Module:
    """CLIP with a small ModifiedResNet. Its batch norms are not trivial: open_clip would start each branch at zero."""
    torch.manual_seed(seed)
    model: torch.nn.Module = open_clip.CLIP(
        embed_dim=32,
        vision_cfg={"image_size": 32, "layers": [1, 1, 2, 1], "width": 8},
        text_cfg={"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
    )
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
            module.running_mean = torch.randn(module.num_features) / 10
            module.running_var = torch.rand(module.num_features) + 0.5
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return model.eval()


def tiny_profile(**changes: object) -> Profile:
    grey = (0.5, 0.5, 0.5)
    profile = Profile(name="tiny", mean=grey, std=grey, size=32, short_side=36, templates=("a video of {}.",))
    return Profile.from_dict(profile.to_dict() | changes)


def tiny_base(seed: int = 0) -> Base:
    return clip_base("tiny", tiny_clip(seed), "ViT-B-16-quickgelu", tiny_profile())


def resnet_base(seed: int = 0) -> Base:
    return clip_base("tiny-rn", tiny_resnet(seed), "RN50-quickgelu", tiny_profile())


def clips(batch: int, frames: int, size: int = 32, seed: int = 0) -> torch.Tensor:
    """Pixels float32 [B, T, 3, S, S], as if normalised."""
    return torch.randn(batch, frames, 3, size, size, generator=torch.Generator().manual_seed(seed))


def clip_recognizer(
    model: torch.nn.Module, architecture: str = "ViT-B-16-quickgelu", dtype: torch.dtype = torch.float32
) -> Recognizer:
    return clip_base("tiny", model, architecture, tiny_profile()).recognizer(CPU, dtype, keep=False)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """The models here are tiny, so more threads only cost time (classifiers: 15 → 6 s)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def clip_model() -> torch.nn.Module:
    return tiny_clip()


@pytest.fixture(scope="session")
def recognizer() -> Recognizer:
    return clip_recognizer(tiny_clip())


@pytest.fixture(scope="session")
def lite_directory(lite_dir: Path) -> Path:
    return lite_dir / "models" / "lite"


@pytest.fixture
def aligned_before(lite_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Assembling `lite` is real except for its slow step, the alignment, which the session has computed before."""
    model = assembly.read_lite(lite_directory)
    monkeypatch.setattr(assembly, "_align", lambda *_: model)


@pytest.fixture(scope="session")
def lite_base(lite_directory: Path) -> Base:
    return open_lite(lite_directory)


@pytest.fixture(scope="session")
def lite_recognizer(lite_base: Base) -> Recognizer:
    return lite_base.recognizer(CPU, torch.float32)


@pytest.fixture(scope="session")
def actions20(real_clips: Path) -> dict[str, Path]:
    """Label → clip."""
    return {path.parent.name.replace("_", " "): path for path in sorted((real_clips / "actions20").glob("*/*.mp4"))}


def sample(path: Path, profile: Profile) -> npt.NDArray[np.uint8]:
    """The profile's frames of a clip, uint8 [T, S, S, 3]. It decodes the whole clip, so it is for short ones."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    chosen = frame_indices(len(frames), profile.frames, profile.sampling)[0]  # [T]
    return np.concatenate([crop_frame(frames[index].to_ndarray(format="rgb24"), profile) for index in chosen])
