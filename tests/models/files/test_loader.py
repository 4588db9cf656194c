from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from core.vocabulary import Precision
from models.files.bases import resolve_auto
from models.files.loader import load_model
from models.profiles import zoo
from models.weights import hub
from models.weights.errors import WeightsUnavailable
from tests.models.conftest import tiny_clip


def quiet(_what: str, _share: float) -> None:
    """A progress that nobody watches."""


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "find_cached_weights", lambda *_: None)
    monkeypatch.setattr(hub, "hub_has_weights", lambda *_: False)


@pytest.fixture
def tiny_architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every architecture is the tiny CLIP, with weights of its own until some are loaded."""
    create: Callable[..., torch.nn.Module] = lambda *_, **__: tiny_clip(seed=9)  # noqa: E731
    monkeypatch.setattr(open_clip, "create_model", create)


def put(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    state: dict[str, Any] = tiny_clip().state_dict()
    if name.endswith(".safetensors"):
        save_file(state, folder / name)
    else:
        torch.save({"state_dict": state}, folder / name)
    return folder / name


@pytest.mark.usefixtures("no_hub", "tiny_architectures")
@pytest.mark.parametrize("file", ["clip-b16.safetensors", "clip-b16.pt"])
def test_a_file_in_the_data_directory_is_found_by_name(tmp_path: Path, file: str) -> None:
    put(tmp_path / "weights", file)
    found = load_model("clip-b16", data_dir=tmp_path, progress=quiet)
    explicit = load_model("clip-b16", data_dir=tmp_path / "x", weights_file=tmp_path / "weights" / file, progress=quiet)
    assert found.digest == explicit.digest
    assert found.profile == zoo.ENTRIES["clip-b16"].profile
    assert resolve_auto(tmp_path)[0] == "clip-b16"


@pytest.mark.usefixtures("no_hub", "tiny_architectures")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_precision_is_the_requested_one(tmp_path: Path, precision: Precision) -> None:
    put(tmp_path / "weights", "clip-b16.safetensors")
    found = load_model("clip-b16", data_dir=tmp_path, device="cpu", precision=precision, progress=quiet)
    assert found.precision == precision


@pytest.mark.usefixtures("no_hub")
def test_without_weights_and_hub_there_is_an_error_in_words_and_auto_takes_lite(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="cannot be reached") as caught:
        load_model("clip-b16", data_dir=tmp_path, progress=quiet)
    assert "weights/" in (caught.value.hint or "")
    name, reason = resolve_auto(tmp_path)
    assert name == "lite"
    assert "clip-b16" in reason


@pytest.mark.parametrize("wish", [{"device": "cuda:99"}, {"device": "toaster"}, {"device": "cpu", "precision": "fp16"}])
def test_a_device_that_is_not_there_is_said_in_words(tmp_path: Path, wish: dict[str, Any]) -> None:
    with pytest.raises(WeightsUnavailable) as caught:
        load_model("lite", data_dir=tmp_path, progress=quiet, **wish)
    assert "VIREO_DEVICE" in (caught.value.hint or "")


@pytest.mark.usefixtures("aligned_before")
def test_lite_is_assembled_where_it_is_missing_and_only_loaded_after_that(tmp_path: Path) -> None:
    told: list[str] = []
    first = load_model("lite", data_dir=tmp_path, device="cpu", progress=lambda what, _: told.append(what))
    assert any("assembling" in what for what in told)
    told.clear()
    second = load_model("lite", data_dir=tmp_path, device="cpu", progress=lambda what, _: told.append(what))
    assert not any("assembling" in what for what in told)
    assert first.digest == second.digest
