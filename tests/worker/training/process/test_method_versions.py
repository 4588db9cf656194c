"""Each method leads to a version that is served with any labels, through its own text half where it has one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.datasets import Dataset
from core.registry import Card
from models.files.bases import open_base
from models.recognition.base import Base
from tests.models.conftest import CPU
from tests.worker.training.process.runs import LABELS, train
from worker.decoding.pool import DecodePool
from worker.training.run.base_model import served_rows

OTHER = ["something else", "a cat"]

CASES: list[dict[str, Any]] = [
    {"method": "vision_only"},
    {"method": "vifi"},
    {"method": "vifi", "text_inputs": "context"},
    {"method": "vifi", "text_inputs": "templates", "templates": ["a video of {}.", "{}"], "base": "tiny-rn"},
    {"method": "vifi", "recipe": "vifi-zero-shot", "frames": 4, "micro_batch": 3, "epochs": 2, "batch_size": 5},
    {"method": "image_only", "fusion": "decision"},
    {"method": "image_only", "fusion": "image"},
    {"method": "text_only"},
    {"method": "contrastive", "temporal": "transformer", "temporal_init": "identity"},
    {"method": "contrastive", "online_text": False, "contrast": "ce", "base": "tiny-rn", "micro_batch": 4},
]
TEXT = ("vifi", "text_only", "contrastive")  # methods that train the text tower


def opened(home: Path, name: str) -> Base:
    return open_base(name, data_dir=home, progress=lambda *_: None)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_a_method_leads_to_a_version(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, options: dict[str, Any]
) -> None:
    card, version = train(home, dataset, tmp_path, pool, learning_rate=1e-3, **options)
    start, method = opened(home, card.base), options["method"]
    served = version.recognizer(CPU, torch.float32)
    trains_text = method in TEXT and options.get("online_text") is not False
    assert (card.method, card.recipe) == (method, options.get("recipe", "default"))
    assert card.profile["fusion"] == card.hyperparameters["fusion"] == options.get("fusion", "embedding")
    assert card.open_labels is (method != "vision_only")
    assert differs(version.tower, start.tower) is (method != "text_only")
    assert (card.text_digest != start.text_encoder.digest) is (trains_text or options.get("text_inputs") == "context")
    assert differs(version.text_encoder.module, start.text_encoder.module) is trains_text
    scale_moved = card.logit_scale != pytest.approx(start.logit_scale, rel=1e-6)
    assert scale_moved is (method not in ("image_only", "text_only"))
    stored = load_file(tmp_path / "output" / "model.safetensors")["classifier.rows"]
    rows = served_rows(served, LABELS, normalise=True)
    torch.testing.assert_close(rows, stored, rtol=0, atol=1e-5)
    if card.open_labels:
        same = served_rows(served, OTHER, normalise=True)
        plain = served_rows(
            start.recognizer(CPU, torch.float32), OTHER, normalise=True, templates=card.profile["templates"]
        )
        assert same is not None
        assert plain is not None
        assert torch.allclose(same, plain, atol=1e-6) is (card.text_digest == start.text_encoder.digest)
    moved = card.hyperparameters["trained_parameters"]
    assert ("text_tower" in moved) is trains_text
    assert ("image_tower" in moved) is (method != "text_only")


def differs(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether any tensor does; the table of word embeddings never may."""
    state = other.state_dict()
    found = {
        name for name, tensor in one.state_dict().items() if name in state and not torch.equal(tensor, state[name])
    }
    assert not [name for name in found if name.endswith("token_embedding.weight")]
    return bool(found - {"logit_scale"})


def test_the_text_half_of_a_frozen_image_tower_is_trained_on_features_that_are_computed_once(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    """And the probe shows what that costs other labels."""
    card, _ = train(home, dataset, tmp_path, pool, method="text_only")
    assert card.hyperparameters["augment"] is None
    assert card.base_to_novel is not None
    assert card.base_to_novel["how"] == "probe"


def test_a_version_with_a_text_half_of_its_own_is_a_base_for_any_method(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    train(home, dataset, tmp_path / "first", pool, method="vifi", learning_rate=1e-3)
    first = tmp_path / "first" / "output"
    rows = [again(home, dataset, tmp_path / method, pool, first, method) for method in ("text4vis", "vifi")]
    assert rows[0].text_digest == Card.model_validate_json((first / "card.json").read_text()).text_digest
    assert rows[1].text_digest != rows[0].text_digest


def again(home: Path, dataset: Dataset, scratch: Path, pool: DecodePool, version: Path, method: str) -> Card:
    from core.training_requests import TrainingRequest
    from tests.worker.training.process.runs import spec_of
    from worker.training.process.session import run_training
    from worker.training.run.stop import Stop
    from worker.training.run.world import World

    request = TrainingRequest.model_validate(
        {"name": "scenes", "dataset": dataset.id, "base": "scenes:1", "method": method, "epochs": 1, "batch_size": 4}
    )
    spec = spec_of(home, dataset, scratch, training=request)
    spec = spec.model_copy(update={"version": version, "model": "scenes:1"})
    run_training(spec, request, World(0, 1, CPU), pool, Stop())
    return Card.model_validate_json((spec.output / "card.json").read_text())
