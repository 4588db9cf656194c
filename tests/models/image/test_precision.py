from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.image import precision
from models.image.precision import choose_device, choose_dtype
from tests.models.conftest import CPU


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"avx2", "avx512f"}, torch.float32),
        ({"avx512f", "avx512_bf16"}, torch.bfloat16),
        ({"amx_bf16"}, torch.bfloat16),
        (set(), torch.float32),
    ],
)
def test_auto_on_a_cpu_follows_the_hardware(
    flags: set[str], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_cpu_flags", lambda: flags)
    assert choose_dtype(CPU, "auto") == expected


def test_no_list_of_cpu_flags_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    assert choose_dtype(CPU, "auto") == torch.float32


def test_a_wish_is_granted_or_refused_in_words() -> None:
    assert choose_dtype(CPU, "fp32") == torch.float32
    assert choose_dtype(CPU, "bf16") == torch.bfloat16
    with pytest.raises(ValueError, match="needs a GPU"):
        choose_dtype(CPU, "fp16")


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device("auto") == CPU
    for absent in ("cuda", "cuda:1", "gpu", "meta"):
        with pytest.raises(ValueError, match=absent):
            choose_device(absent)
