"""What the recognisers' tests share: a tiny random CLIP, `lite` assembled once, real clips where they are present."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import open_clip
import pytest
import torch

from models import lite
from models.base import Base
from models.profile import Profile
from models.recognizer import Recognizer
from models.sampling import frame_indices
from models.towers import clip_base
from models.transforms import crop_frame

CPU = torch.device("cpu")


def tiny_clip(seed: int = 0) -> torch.nn.Module:
    """CLIP with two layers of width 64: everything of the real one but the size and the sense."""
    torch.manual_seed(seed)
    model: torch.nn.Module = open_clip.CLIP(
        embed_dim=32,
        vision_cfg={"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
        text_cfg={"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
    )
    return model.eval()


def tiny_profile(**changes: object) -> Profile:
    grey = (0.5, 0.5, 0.5)
    profile = Profile(name="tiny", mean=grey, std=grey, size=32, short_side=36, templates=("a video of {}.",))
    return Profile.from_dict(profile.to_dict() | changes)


def tiny_base(seed: int = 0, architecture: str = "ViT-B-16-quickgelu", name: str = "tiny") -> Base:
    return clip_base(name, tiny_clip(seed), architecture, tiny_profile())


def clip_recognizer(
    model: torch.nn.Module, architecture: str = "ViT-B-16-quickgelu", dtype: torch.dtype = torch.float32
) -> Recognizer:
    return clip_base("tiny", model, architecture, tiny_profile()).recognizer(CPU, dtype, keep=False)


@pytest.fixture(scope="session")
def clip_model() -> torch.nn.Module:
    return tiny_clip()


@pytest.fixture(scope="session")
def recognizer() -> Recognizer:
    return clip_recognizer(tiny_clip())


@pytest.fixture(scope="session")
def lite_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data") / "models" / "lite"
    lite.assemble(directory)
    return directory


@pytest.fixture(scope="session")
def lite_base(lite_directory: Path) -> Base:
    return lite.open_lite(lite_directory)


@pytest.fixture(scope="session")
def lite_recognizer(lite_base: Base) -> Recognizer:
    return lite_base.recognizer(CPU, torch.float32)


@pytest.fixture(scope="session")
def actions20(real_clips: Path) -> dict[str, Path]:
    """Label → clip."""
    return {path.parent.name.replace("_", " "): path for path in sorted((real_clips / "actions20").glob("*/*.mp4"))}


def sample(path: Path, profile: Profile) -> npt.NDArray[np.uint8]:
    """The profile's frames of a clip, uint8 [T, S, S, 3]; decoded whole, which is enough for short clips."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    chosen = frame_indices(len(frames), profile.frames, profile.sampling)[0]  # [T]
    return np.concatenate([crop_frame(frames[index].to_ndarray(format="rgb24"), profile) for index in chosen])
