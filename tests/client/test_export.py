from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from vireo import export
from vireo.errors import InvalidCheckpoint
from vireo.export import Stripped

CLIP = ["visual.conv1.weight", "logit_scale", "token_embedding.weight", "temporal_like", "context_like.weight"]
OURS = ["temporal.layers.0.w", "time_blocks.0.weight", "classifier.rows", "context"]


def test_only_tensors_that_open_clip_knows_are_written(tmp_path: Path) -> None:
    tensors = {name: np.full((2, 3), index, np.float32) for index, name in enumerate(CLIP + OURS)}
    save_file(tensors, tmp_path / "model.safetensors")
    done = export.strip(tmp_path / "model.safetensors", tmp_path / "plain.safetensors")
    assert done == Stripped(5, ("classifier", "context", "temporal", "time_blocks"), text=True)
    plain = load_file(tmp_path / "plain.safetensors")
    assert set(plain) == set(CLIP)
    assert all((plain[name] == tensors[name]).all() for name in CLIP)


def test_of_a_version_with_towers_and_prompts_the_towers_are_written(tmp_path: Path) -> None:
    save_file({"visual.proj": np.ones(2), "prompts.text": np.ones(2)}, tmp_path / "a")
    assert export.strip(tmp_path / "a", tmp_path / "b") == Stripped(1, ("prompts",), text=False)
    save_file({"prompts.image": np.ones(2), "prompts.text": np.ones(2)}, tmp_path / "alone")
    with pytest.raises(InvalidCheckpoint, match="prompts only"):
        export.strip(tmp_path / "alone", tmp_path / "c")


@pytest.mark.parametrize(("name", "text"), [("visual.x", False), ("logit_bias", False), ("transformer.x", True)])
def test_a_text_tower_is_recognised_by_its_tensor_names(tmp_path: Path, name: str, text: bool) -> None:
    save_file({name: np.ones(2), "visual.proj": np.ones(2)}, tmp_path / "a")
    assert export.strip(tmp_path / "a", tmp_path / "b").text == text
