from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.image import precision
from models.image.precision import autocasting, choose_device, choose_dtype, has_native_bf16, precision_name
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


@pytest.mark.parametrize("native", [True, False])
def test_auto_on_a_gpu_follows_the_hardware(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    gpu = torch.device("cuda")
    assert has_native_bf16(gpu) is native
    assert choose_dtype(gpu, "auto") == (torch.bfloat16 if native else torch.float32)
    assert choose_dtype(gpu, "fp16") == torch.float16


def test_only_formats_of_16_bits_are_computed_under_autocast() -> None:
    for dtype, product in ((torch.float32, torch.float32), (torch.bfloat16, torch.bfloat16)):
        with autocasting(CPU, dtype):
            assert (torch.eye(2) @ torch.eye(2)).dtype == product


def test_every_format_has_its_name() -> None:
    names = [precision_name(dtype) for dtype in (torch.float32, torch.bfloat16, torch.float16)]
    assert names == ["fp32", "bf16", "fp16"]


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
