"""Versions on disk: what was trained is what is served, and what is damaged is said to be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize

from core.vocabulary import TemporalKind
from models.files import versions
from models.files.loader import load_version
from models.files.saving import save_version, write_weights
from models.recognition.base import Base
from models.recognition.video_model import VideoModel
from models.text.context_encoder import ContextTextEncoder
from models.text.encoder import TextEncoder
from models.text.external_encoder import open_external_encoder
from models.weights.errors import WeightsUnavailable
from models.weights.states import StateDict, weights_digest
from tests.models.conftest import CPU, resnet_base, tiny_base, tiny_clip, tiny_resnet
from tests.models.recognition.test_base import served_vectors, trained, video_vectors
from vireo import export

CLASSES = ("cats", "dogs", "parrots")


def quiet(_what: str, _share: float) -> None:
    """A progress that nobody watches."""


@pytest.fixture(autouse=True)
def tiny_architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    """What open_clip builds is tiny, and has other weights than those that were saved."""

    def create(architecture: str, **_: Any) -> torch.nn.Module:
        return tiny_resnet(seed=9) if architecture.startswith("RN50") else tiny_clip(seed=9)

    monkeypatch.setattr(open_clip, "create_model", create)


def write(
    directory: Path, model: VideoModel, base: Base, encoder: TextEncoder | None = None, **changes: Any
) -> dict[str, Any]:
    """A version as the training worker writes it."""
    directory.mkdir(exist_ok=True)
    rows = normalize(torch.randn(len(CLASSES), base.dim, generator=torch.Generator().manual_seed(0)), dim=-1)
    said = save_version(directory, model, base, encoder=encoder or base.text_encoder, classifier={"rows": rows})
    card = said | {
        "name": "pets",
        "version": 3,
        "base": "clip-b16",
        "classes": CLASSES,
        "open_labels": True,
        "profile": base.profile.to_dict(),
    }
    (directory / "card.json").write_text(json.dumps(card | changes))
    return said


def exported_state(directory: Path) -> StateDict:
    """What `vireo export` writes."""
    target = directory / "exported.safetensors"
    export.strip(directory / "model.safetensors", target)
    return load_file(target)


def reopen(directory: Path) -> Base:
    return versions.open_version(directory, data_dir=directory, progress=quiet)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        *((tiny_base, kind) for kind in ("mean", "transformer", "token_conv")),
        *((resnet_base, kind) for kind in ("mean", "transformer", "conv")),
    ],
)
def test_a_version_is_served_as_it_was_trained(tmp_path: Path, make: Callable[[], Base], kind: TemporalKind) -> None:
    base = make()
    model = trained(base, kind)
    said = write(tmp_path, model, base)
    version = reopen(tmp_path)
    assert (version.name, version.temporal_kind, version.classes) == ("pets:3", kind, CLASSES)
    assert version.logit_scale == pytest.approx(base.logit_scale * 1.10517, rel=1e-4)
    assert version.digest == said["digest"]
    expected = video_vectors(model, base, 2, 4)
    recognizer = version.recognizer(CPU, torch.float32)
    assert recognizer.mixes_time == (kind in ("token_conv", "conv"))
    torch.testing.assert_close(served_vectors(recognizer, 2, 4), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(video_vectors(version.video_model(kind).eval(), base, 2, 4), expected)
    assert torch.equal(recognizer.encode_texts(["a cat"])[0], base.text_encoder.encode(["a cat"])[0])
    assert recognizer.text_digest == base.text_encoder.digest  # the version can use the base's rows


def test_lite_comes_back_with_its_own_text_tower(tmp_path: Path, lite_base: Base) -> None:
    model = trained(lite_base, "conv")
    write(tmp_path, model, lite_base)
    recognizer = load_version(tmp_path, data_dir=tmp_path, device="cpu", precision="fp32", progress=quiet)
    expected = video_vectors(model, lite_base, 1, 3)
    torch.testing.assert_close(served_vectors(recognizer, 1, 3), expected, rtol=1e-3, atol=1e-4)  # norms are folded
    assert torch.equal(recognizer.encode_texts(["a cat"])[0], lite_base.text_encoder.encode(["a cat"])[0])


def test_a_version_goes_on_with_the_head_that_it_has(tmp_path: Path) -> None:
    base = tiny_base()
    first = trained(base, "transformer")
    write(tmp_path / "1", first, base)
    version = reopen(tmp_path / "1")
    again = version.video_model("transformer", "identity")
    assert all(torch.equal(a, b) for a, b in zip(first.temporal.parameters(), again.temporal.parameters(), strict=True))
    write(tmp_path / "2", again, version)
    assert reopen(tmp_path / "2").digest == version.digest


def test_closed_labels_keep_their_rows(tmp_path: Path) -> None:
    base = tiny_base()
    write(tmp_path, base.video_model("mean"), base, open_labels=False)
    recognizer = reopen(tmp_path).recognizer(CPU, torch.float32)
    assert recognizer.fixed_rows is not None
    assert recognizer.fixed_rows.shape == (len(CLASSES), base.dim)
    torch.testing.assert_close(recognizer.fixed_rows.norm(dim=-1), torch.ones(len(CLASSES)))


def test_learned_contexts_stand_before_any_label(tmp_path: Path) -> None:
    base = tiny_base()
    texts = ContextTextEncoder(base.text_encoder, torch.randn(4, 64, generator=torch.Generator().manual_seed(0)))
    write(tmp_path / "1", base.video_model("mean"), base, texts)
    version = reopen(tmp_path / "1")
    expected, _ = texts.encode(["never seen"])
    torch.testing.assert_close(version.text_encoder.encode(["never seen"])[0], expected)
    assert version.text_encoder.digest == texts.digest
    assert not torch.allclose(expected, base.text_encoder.encode(["never seen"])[0])
    write(tmp_path / "2", version.video_model("mean"), version)  # trained on, with the texts that it has
    torch.testing.assert_close(reopen(tmp_path / "2").text_encoder.encode(["never seen"])[0], expected)


def test_another_encoder_travels_with_the_version(tmp_path: Path) -> None:
    base = tiny_base()
    texts = open_external_encoder("minilm", base.dim, 0)
    write(tmp_path, base.video_model("mean"), base, texts)
    version = reopen(tmp_path)
    torch.testing.assert_close(version.text_encoder.encode(["never seen"])[0], texts.encode(["never seen"])[0])
    assert version.text_encoder.digest == texts.digest
    exported = exported_state(tmp_path)
    assert "visual.proj" in exported
    assert "token_embedding.weight" not in exported


def test_the_base_models_text_tower_is_taken_where_the_file_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny_base()
    model = trained(base, "transformer")
    write(tmp_path, model, base, text="base")
    state = load_file(tmp_path / "model.safetensors")
    bare = {name: tensor for name, tensor in state.items() if name.startswith(("visual.", "temporal.", "logit_scale"))}
    save_file(bare, tmp_path / "model.safetensors")
    asked: list[str] = []

    def open_base(name: str, **_: Any) -> Base:
        asked.append(name)
        return tiny_base()

    monkeypatch.setattr("models.files.versions.open_base", open_base)
    version = reopen(tmp_path)
    assert asked == ["clip-b16"]
    assert torch.equal(version.text_encoder.encode(["a cat"])[0], base.text_encoder.encode(["a cat"])[0])
    served = served_vectors(version.recognizer(CPU, torch.float32), 1, 4)
    torch.testing.assert_close(served, video_vectors(model, base, 1, 4), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["transformer", "token_conv"])
def test_an_exported_version_is_a_plain_open_clip_model(tmp_path: Path, kind: TemporalKind) -> None:
    base = tiny_base()
    model = trained(base, kind)
    write(tmp_path, model, base)
    plain: Any = tiny_clip(seed=5)
    plain.load_state_dict(exported_state(tmp_path))
    assert torch.equal(plain.visual.proj, model.tower.get_parameter("visual.proj"))
    assert torch.equal(plain.logit_scale, model.logit_scale)


def test_the_digest_is_that_of_the_tensors(tmp_path: Path) -> None:
    base = tiny_base()
    model = trained(base, "mean")
    first, again = write(tmp_path / "a", model, base), write(tmp_path / "b", model, base)
    assert first == again
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
    with torch.no_grad():
        model.logit_scale.add_(1)
    assert write(tmp_path / "c", model, base)["digest"] != first["digest"]
    state = load_file(tmp_path / "a" / "model.safetensors")
    assert weights_digest(state) != weights_digest(load_file(tmp_path / "c" / "model.safetensors"))
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}


def test_files_of_a_version_can_be_read_by_the_gateway_and_keep_their_integers(tmp_path: Path) -> None:
    """The gateway may be another user; batch norms count their batches."""
    base = resnet_base()
    write(tmp_path, base.video_model("mean").half(), base)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o644
    dtypes = {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()}
    assert dtypes == {torch.float32, torch.int64}


def test_the_same_tensors_of_another_architecture_have_another_digest(tmp_path: Path) -> None:
    state = tiny_base().tower.state_dict()
    first, again, other = (write_weights(tmp_path, name, state) for name in ("ViT-B-16", "ViT-B-16", "ViT-B-32"))
    assert first == again
    assert first != other


def broken_card(directory: Path) -> None:
    (directory / "card.json").write_text("{")


def half_a_file(directory: Path) -> None:
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def no_head(directory: Path) -> None:
    state = load_file(directory / "model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if not name.startswith("temporal.blocks.3")}
    save_file(kept, directory / "model.safetensors")


def no_tower(directory: Path) -> None:
    state = load_file(directory / "model.safetensors")
    save_file({"temporal.x": state["logit_scale"]}, directory / "model.safetensors")


@pytest.mark.parametrize("harm", [broken_card, half_a_file, no_head, no_tower])
def test_damage_is_told_in_words(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    base = tiny_base()
    write(tmp_path, base.video_model("transformer"), base)
    harm(tmp_path)
    with pytest.raises(WeightsUnavailable):
        reopen(tmp_path)
