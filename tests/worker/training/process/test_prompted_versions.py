"""Bridge and prompt: prompts are learned on any base, which stays as it is; the version holds nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.datasets import Dataset
from core.errors import InvalidTraining
from core.registry import Card
from core.training_requests import EvaluationRequest, TrainingRequest
from models.files.bases import open_base
from models.files.versions import open_version
from models.recognition.base import Base
from models.text.anchored_encoder import LENGTH
from models.weights.errors import WeightsUnavailable
from tests import tiny
from tests.models.conftest import CPU
from tests.worker.training.process.runs import LABELS, spec_of, train
from worker.decoding.pool import DecodePool
from worker.training.process.evaluation import run_evaluation
from worker.training.process.session import run_training
from worker.training.run.base_model import served_rows
from worker.training.run.stop import Stop
from worker.training.run.world import World

PROMPT: dict[str, Any] = {"method": "vl_prompt", "learning_rate": 0.05, "epochs": 2}


def on_version(
    home: Path,
    dataset: Dataset,
    scratch: Path,
    pool: DecodePool,
    bridge: Path,
    bridges: dict[str, Path] | None = None,
    **options: Any,
) -> Path:
    """A run whose base is the version in `bridge`. bridges: what its prompts are for. → its output."""
    fields = {"name": "prompted", "dataset": dataset.id, "base": "scenes:1", "batch_size": 4} | PROMPT | options
    request = TrainingRequest.model_validate(fields)
    spec = spec_of(home, dataset, scratch, training=request)
    spec = spec.model_copy(update={"version": bridge, "model": "scenes:1"})
    spec = spec.model_copy(update={"bridges": bridges or {}})
    run_training(spec, request, World(0, 1, CPU), pool, Stop())
    return spec.output


def opened(home: Path, version: Path, bridge: Path | None = None) -> Base:
    def find(name: str) -> Base:
        if bridge is None:
            return open_base(name, data_dir=home, progress=lambda *_: None)
        return open_version(bridge, data_dir=home, progress=lambda *_: None)

    return open_version(version, data_dir=home, progress=lambda *_: None, find_base=find)


def card_of(version: Path) -> Card:
    return Card.model_validate_json((version / "card.json").read_text())


def test_a_version_of_prompts_holds_prompts_and_names_its_base(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    before = (home / "weights" / "tiny.safetensors").read_bytes()
    card, version = train(home, dataset, tmp_path, pool, **PROMPT)
    assert (home / "weights" / "tiny.safetensors").read_bytes() == before
    base = open_base("tiny", data_dir=home, progress=lambda *_: None)
    assert card.prompts == {
        "base": "tiny",
        "digest": base.digest,
        "text_digest": base.text_encoder.digest,
        "image": [2, 10, 64],
        "text": [2, 10, 64],
    }
    stored = load_file(tmp_path / "output" / "model.safetensors")
    assert set(stored) == {"prompts.image", "prompts.text", "classifier.rows"}
    for name, tensor in base.tower.state_dict().items():
        assert torch.equal(version.tower.state_dict()[name], tensor), "bit-identical"
    assert version.logit_scale == pytest.approx(base.logit_scale)
    moved = card.hyperparameters["trained_parameters"]
    assert moved == {"prompts": 2 * 2 * 10 * 64}
    served = version.recognizer(CPU, torch.float32)
    rows = served_rows(served, LABELS, normalise=True)
    torch.testing.assert_close(rows, stored["classifier.rows"], rtol=0, atol=1e-5)
    other = served_rows(served, ["a cat", "a dog"], normalise=True)
    plain = served_rows(base.recognizer(CPU, torch.float32), ["a cat", "a dog"], normalise=True, templates=["{}."])
    assert other is not None
    assert plain is not None
    assert not torch.allclose(other, plain, atol=1e-3)
    assert served.text_digest not in (base.text_encoder.digest, "")
    report = json.loads((tmp_path / "output" / "report.json").read_text())
    assert report["model"]["open_labels"] is True


def test_the_bridge_may_be_a_version_with_a_head_and_a_text_half_of_its_own(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    train(home, dataset, tmp_path / "vifi", pool, method="vifi", learning_rate=1e-3, fusion="decision")
    train(home, dataset, tmp_path / "head", pool, temporal="transformer", learning_rate=1e-3)
    for name in ("vifi", "head"):
        bridge = tmp_path / name / "output"
        before = (bridge / "model.safetensors").read_bytes()
        version = on_version(home, dataset, tmp_path / f"on-{name}", pool, bridge)
        assert (bridge / "model.safetensors").read_bytes() == before
        card, base = card_of(version), card_of(bridge)
        assert card.prompts is not None
        assert (card.prompts["base"], card.prompts["digest"]) == ("scenes:1", base.digest)
        assert (card.temporal["kind"], card.profile["fusion"]) == (base.temporal["kind"], base.profile["fusion"])
        served = opened(home, version, bridge).recognizer(CPU, torch.float32)
        rows = served_rows(served, LABELS, normalise=True)
        stored = load_file(version / "model.safetensors")["classifier.rows"]
        torch.testing.assert_close(rows, stored, rtol=0, atol=1e-5)


def test_a_version_of_prompts_is_evaluated_with_its_bridge(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    train(home, dataset, tmp_path / "first", pool, method="vifi", learning_rate=1e-3)
    bridge = tmp_path / "first" / "output"
    version = on_version(home, dataset, tmp_path / "second", pool, bridge)
    request = EvaluationRequest(model="prompted:1", dataset=dataset.id, split="val", labels=("a", "b", "c", "d"))
    spec = spec_of(home, dataset, tmp_path / "third", evaluation=request)
    spec = spec.model_copy(update={"version": version, "bridges": {"scenes:1": bridge}, "model": "prompted:1"})
    run_evaluation(spec, request, World(0, 1, CPU), pool, Stop())
    assert (spec.output / "report.json").exists()
    again = TrainingRequest(name="third", dataset=dataset.id, base="prompted:1")
    spec = spec_of(home, dataset, tmp_path / "fourth", training=again)
    spec = spec.model_copy(update={"version": version, "bridges": {"scenes:1": bridge}, "model": "prompted:1"})
    with pytest.raises(InvalidTraining, match="only the method vl_prompt") as caught:
        run_training(spec, again, World(0, 1, CPU), pool, Stop())
    assert caught.value.details["field"] == "base"


def test_prompts_of_a_version_are_learned_further(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    train(home, dataset, tmp_path / "first", pool, **PROMPT, prompt_tokens=5, prompt_depth=1)
    first = tmp_path / "first" / "output"
    further = on_version(home, dataset, tmp_path / "second", pool, first, learning_rate=1e-9)
    one, two = load_file(first / "model.safetensors"), load_file(further / "model.safetensors")
    for name in ("prompts.image", "prompts.text"):
        torch.testing.assert_close(two[name], one[name], rtol=0, atol=1e-6)
    assert card_of(further).prompts == card_of(first).prompts, "both are for the model of the zoo"
    rows = served_rows(opened(home, further).recognizer(CPU, torch.float32), LABELS, normalise=True)
    torch.testing.assert_close(rows, two["classifier.rows"], rtol=0, atol=1e-5)
    moved = on_version(home, dataset, tmp_path / "third", pool, first)
    assert not torch.equal(load_file(moved / "model.safetensors")["prompts.image"], one["prompts.image"])
    with pytest.raises(InvalidTraining, match="prompt_tokens is 6") as caught:
        on_version(home, dataset, tmp_path / "fourth", pool, first, prompt_tokens=6)
    assert caught.value.details["field"] == "prompt_tokens"


def test_the_bridge_may_have_a_learned_context(home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool) -> None:
    train(home, dataset, tmp_path / "first", pool, text_inputs="context", learning_rate=1e-3)
    bridge = tmp_path / "first" / "output"
    version = on_version(home, dataset, tmp_path / "second", pool, bridge, learning_rate=1e-9)
    context, stored = load_file(bridge / "model.safetensors")["context"], load_file(version / "model.safetensors")
    torch.testing.assert_close(stored["prompts.text"][0], context, rtol=0, atol=1e-6)
    rows = served_rows(opened(home, version, bridge).recognizer(CPU, torch.float32), LABELS, normalise=True)
    torch.testing.assert_close(rows, stored["classifier.rows"], rtol=0, atol=1e-5)


def test_the_bridge_may_be_fitted_in_closed_form(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    """What the fit has added to the rows of its classes stays: prompts are learned on it."""
    train(home, dataset, tmp_path / "first", pool, solver="closed_form", epochs=None, batch_size=None)
    bridge = tmp_path / "first" / "output"
    version = on_version(home, dataset, tmp_path / "second", pool, bridge)
    served = opened(home, version, bridge).recognizer(CPU, torch.float32)
    rows = served_rows(served, LABELS, normalise=True)
    torch.testing.assert_close(rows, load_file(version / "model.safetensors")["classifier.rows"], rtol=0, atol=1e-5)
    assert rows is not None
    own = rows[:, -len(LABELS) :] / rows[:, : -len(LABELS)].norm(dim=-1, keepdim=True)
    torch.testing.assert_close(own, LENGTH * torch.eye(len(LABELS)), rtol=0, atol=1e-4)
    bridges = {"scenes:1": bridge}
    further = on_version(home, dataset, tmp_path / "further", pool, version, bridges, learning_rate=1e-9)
    assert card_of(further).prompts == card_of(version).prompts
    with pytest.raises(InvalidTraining, match="cannot learn a context") as caught:
        on_version(home, dataset, tmp_path / "third", pool, bridge, method="text4vis", text_inputs="context")
    assert caught.value.details["field"] == "text_inputs"


def test_prompts_are_not_served_on_other_weights(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    train(home, dataset, tmp_path / "run", pool, **PROMPT)
    tiny.place(tmp_path / "other", architecture=tiny.ARCHITECTURE | {"quick_gelu": False})
    with pytest.raises(WeightsUnavailable, match="whose weights are others here"):
        opened(tmp_path / "other", tmp_path / "run" / "output")


@pytest.mark.parametrize("base", ["tiny-rn"])
def test_a_base_without_tokens_is_refused_with_those_that_have_them(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, base: str
) -> None:
    with pytest.raises(InvalidTraining) as caught:
        train(home, dataset, tmp_path, pool, base=base, **PROMPT)
    assert caught.value.details["field"] == "method"
    assert "clip-b16" in (caught.value.hint or "")
    assert "lite" not in (caught.value.hint or "")
