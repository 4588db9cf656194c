from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from client import export


def test_only_what_open_clip_knows_is_left(tmp_path: Path) -> None:
    names = ["visual.conv1.weight", "logit_scale", "token_embedding.weight", "temporal_like"]
    ours = ["temporal.layers.0.w", "time_blocks.0.weight", "classifier.rows"]
    tensors = {name: np.full((2, 3), index, np.float32) for index, name in enumerate(names + ours)}
    save_file(tensors, tmp_path / "model.safetensors")
    kept, dropped = export.strip(tmp_path / "model.safetensors", tmp_path / "plain.safetensors")
    assert (kept, dropped) == (4, ["classifier", "temporal", "time_blocks"])
    plain = load_file(tmp_path / "plain.safetensors")
    assert set(plain) == set(names)
    assert all((plain[name] == tensors[name]).all() for name in names)
