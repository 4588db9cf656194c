"""Published weights: a mismatch is an error before any download, and an unreachable hub costs seconds at most."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from models.weights import hub
from models.weights.errors import QuickGeluMismatch, WeightsUnavailable


@pytest.mark.parametrize(
    ("architecture", "tag", "better"),
    [
        ("ViT-B-16", "openai", "ViT-B-16-quickgelu"),
        ("ViT-B-32", "openai", "ViT-B-32-quickgelu"),
        ("ViT-B-16-quickgelu", "laion2b_s34b_b88k", "ViT-B-16"),
    ],
)
def test_the_quickgelu_mismatch_is_an_error(architecture: str, tag: str, better: str) -> None:
    with pytest.raises(QuickGeluMismatch, match="QuickGELU") as caught:
        hub.check_quick_gelu(architecture, tag)
    assert better in (caught.value.hint or "")


def test_a_mismatch_is_found_before_any_download() -> None:
    with pytest.raises(QuickGeluMismatch):
        hub.download_model("ViT-B-16", "openai")


@pytest.fixture
def silent_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that accepts the connection and never answers, which is worse than none."""
    server = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{server.getsockname()[1]}/w.safetensors"
    monkeypatch.setattr(hub, "hf_hub_url", lambda *_: url)
    yield
    server.close()


@pytest.mark.usefixtures("silent_hub")
def test_a_silent_hub_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HUB_SECONDS", 0.3)
    assert not hub.hub_has_weights("ViT-B-16-quickgelu", "openai")


@pytest.mark.usefixtures("silent_hub")
def test_offline_is_decided_without_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HUB_SECONDS", 3600.0)
    assert not hub.hub_has_weights("ViT-B-16-quickgelu", "openai")
    with pytest.raises(WeightsUnavailable, match="cannot be reached") as caught:
        hub.download_model("ViT-B-16-quickgelu", "openai")
    assert "weights/" in (caught.value.hint or "")
