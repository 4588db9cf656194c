"""What the tests of published checkpoints share: a data directory with a base, and the way from a file to a version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from models.files import versions
from models.files.published.checkpoint import (
    ImportOptions,
    PublishedCheckpoint,
    read_published,
    write_published,
)
from models.recognition.base import Base
from models.weights.states import StateDict
from tests.models.official import (
    CONFIG,
    clip_state,
    fusion_state,
    tiny_model,
    under,
)


def quiet(_what: str, _share: float) -> None:
    """A progress that nobody watches."""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """With the base of the tiny checkpoints, as OpenAI's model would be there."""
    place = tmp_path / "data" / "weights"
    place.mkdir(parents=True)
    save_file(dict(tiny_model(seed=7).state_dict()), place / "tiny.safetensors")
    card = {"like": "clip-b16", "architecture": CONFIG, "profile": {"size": 32, "short_side": 36}}
    (place / "tiny.json").write_text(json.dumps(card))
    return tmp_path / "data"


def read(data_dir: Path, content: Any, filename: str = "k400.pt", **asked: Any) -> PublishedCheckpoint:
    path = data_dir / "upload"
    if filename.endswith(".safetensors"):
        save_file(content, path)
    else:
        torch.save(content, path)
    return read_published(path, filename, ImportOptions(**asked), data_dir)


def publish(data_dir: Path, content: Any, **asked: Any) -> Base:
    """Read, written, and opened again as a worker does."""
    directory = data_dir / "version"
    directory.mkdir()
    facts = write_published(directory, read(data_dir, content, **asked))
    card = facts | {"name": "k400", "version": 1, "classes": ["a", "b"], "open_labels": True}
    (directory / "card.json").write_text(json.dumps(card))
    return versions.open_version(directory, data_dir=data_dir, progress=quiet)


def video_clip(prefix: str = "fusion_model.") -> StateDict:
    """The state dict of VideoCLIP."""
    return clip_state() | under(prefix, fusion_state())


def without(state: StateDict, *names: str) -> StateDict:
    return {name: tensor for name, tensor in state.items() if name not in names}
