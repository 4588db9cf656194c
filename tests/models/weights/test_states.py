from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from models.weights.errors import WeightsUnavailable
from models.weights.states import build_model, read_state, unwrap, weights_digest
from tests.models.conftest import Bomb, tiny_clip

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.tensor(2.0)}


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.bin"])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_usual_way_to_save_is_read(tmp_path: Path, name: str, wrapper: str | None, prefix: str) -> None:
    state = {prefix + key: value for key, value in STATE.items()}
    file = tmp_path / name
    if file.suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state if wrapper is None else {wrapper: state, "epoch": 3}, file)
    loaded = read_state(file)
    assert loaded.keys() == STATE.keys()
    assert weights_digest(loaded) == weights_digest(STATE)


def test_a_hostile_pickle_is_refused_and_never_runs(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "extra": Bomb(tmp_path / "boom")}, tmp_path / "w.pt")
    with pytest.raises(WeightsUnavailable, match="loaded safely") as caught:
        read_state(tmp_path / "w.pt")
    assert "safetensors" in (caught.value.hint or "")
    assert not (tmp_path / "boom").exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_torchscript_archive_is_refused_in_words(tmp_path: Path) -> None:
    program = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2))  # type: ignore[no-untyped-call]
    program.save(str(tmp_path / "w.pt"))
    with pytest.raises(WeightsUnavailable) as caught:
        read_state(tmp_path / "w.pt")
    assert "TorchScript" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize(
    "content", [b"", b"not weights at all", b"\x80\x02" + b"\x00" * 64], ids=["empty", "text", "pickle"]
)
def test_damaged_files_are_refused_in_words(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsUnavailable, match=name):
        read_state(tmp_path / name)


def test_files_without_tensors_or_without_existence_are_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    for name in ("empty.pt", "list.pt", "absent.pt"):
        with pytest.raises(WeightsUnavailable):
            read_state(tmp_path / name)


@pytest.mark.parametrize(
    "other",
    [
        {"a.weight": STATE["a.weight"], "c": STATE["b"]},  # another name
        {"a.weight": STATE["a.weight"].half(), "b": STATE["b"]},  # another type
        {"a.weight": STATE["a.weight"].view(3, 2), "b": STATE["b"]},  # another shape
        {"a.weight": STATE["a.weight"] + 1e-6, "b": STATE["b"]},  # another value
    ],
)
def test_the_digest_sees_every_change(other: dict[str, torch.Tensor]) -> None:
    assert weights_digest(other) != weights_digest(STATE)


def test_the_digest_ignores_order_and_memory_layout() -> None:
    turned = {"b": STATE["b"], "a.weight": STATE["a.weight"].t().contiguous().t()}
    assert weights_digest(turned) == weights_digest(STATE)


def test_the_digest_reads_bf16() -> None:
    assert weights_digest({"a": torch.ones(3, dtype=torch.bfloat16)}) != weights_digest(
        {"a": torch.zeros(3).bfloat16()}
    )


@pytest.fixture
def small_architecture(monkeypatch: pytest.MonkeyPatch, clip_model: torch.nn.Module) -> str:
    """An architecture name that builds the tiny CLIP."""
    monkeypatch.setattr(open_clip, "create_model", lambda *_, **__: tiny_clip(seed=7))
    return "tiny"


def test_weights_of_the_architecture_are_taken_whole(small_architecture: str, clip_model: torch.nn.Module) -> None:
    published = clip_model.state_dict() | {"context_length": torch.tensor(77)}  # OpenAI's files carry such entries
    built = build_model(small_architecture, unwrap(published), "f")
    assert weights_digest(built.state_dict()) == weights_digest(clip_model.state_dict())


def test_weights_of_another_architecture_are_refused(small_architecture: str, clip_model: torch.nn.Module) -> None:
    state = clip_model.state_dict()
    with pytest.raises(WeightsUnavailable, match="names are missing"):
        build_model(small_architecture, STATE, "w.pt")
    with pytest.raises(WeightsUnavailable, match="another size"):
        build_model(small_architecture, state | {"visual.proj": torch.zeros(2, 2)}, "w.pt")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (STATE | {"module.b": torch.tensor(3.0)}, "holds b twice, with and without 'module.'"),
        (STATE | {"c": torch.zeros(2, dtype=torch.complex64)}, "c is sparse, quantized, complex"),
        (STATE | {"c": torch.empty(2, device="meta")}, "has no values"),
    ],
)
def test_a_state_dict_that_is_ambiguous_or_not_plain_is_refused(entries: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(WeightsUnavailable, match=message):
        unwrap({"model_state_dict": {"state_dict": entries}})


def test_module_is_removed_wherever_it_is() -> None:
    assert unwrap({"visual.module.proj": torch.ones(1)}).keys() == {"visual.proj"}
