from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
import torch
from safetensors.torch import load_file, save_file
from tokenizers import models as vocabularies
from tokenizers import pre_tokenizers, processors
from torch.nn.functional import normalize
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from models.classifier.inputs import TextInputs
from models.classifier.rows import build_classifier
from models.text import external_encoder, minilm, pretrained
from models.text.external_encoder import ExternalTextEncoder, choose_text_encoder, open_external_encoder, orthonormal
from models.weights.errors import WeightsUnavailable
from tests.models.conftest import tiny_base

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "dog", "runs", "video", "somebody", "rides", "bicycle")
TEXTS = ["a cat", "a dog runs", "somebody rides a bicycle"]


def write_encoder(directory: Path, kind: str = "bert") -> Path:
    """A sentence encoder as transformers would save one: two layers, a dozen words."""
    torch.manual_seed(0)
    model: PreTrainedModel
    if kind == "bert":
        model = BertModel(
            BertConfig(
                vocab_size=len(WORDS),
                max_position_embeddings=16,
                hidden_size=24,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=48,
            )
        )
    else:
        model = DistilBertModel(
            DistilBertConfig(
                vocab_size=len(WORDS), max_position_embeddings=16, dim=24, n_layers=2, n_heads=2, hidden_dim=48
            )
        )
    rules = tokenizers.Tokenizer(vocabularies.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    rules.pre_tokenizer = pre_tokenizers.Whitespace()
    rules.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ["input_ids", "attention_mask"] + (["token_type_ids"] if kind == "bert" else [])
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=rules, pad_token="[PAD]", unk_token="[UNK]", model_input_names=names
    )
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(params=["bert", "distilbert"])
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_encoder(tmp_path / request.param, request.param)


def test_word_vectors_are_averaged_over_the_real_tokens(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "bert")
    ours = open_external_encoder(folder, 24, 0)
    vectors, truncated = ours.encode(TEXTS)
    model = BertModel.from_pretrained(folder).eval()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for text, vector in zip(TEXTS, vectors, strict=True):
            ids = [2, *(WORDS.index(word) for word in text.split()), 3]
            states = model(torch.tensor([ids])).last_hidden_state[0]  # [L, width]
            torch.testing.assert_close(vector, states.mean(dim=0), rtol=1e-4, atol=1e-5)
    assert truncated == [False] * 3
    assert not vectors.requires_grad


def test_the_digest_covers_the_projection(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "bert")
    digests = {open_external_encoder(folder, dim, seed).digest for dim, seed in ((8, 0), (8, 1), (24, 0))}
    assert len(digests) == 3


def test_more_texts_than_one_pass_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = open_external_encoder(write_encoder(tmp_path / "bert"), 24, 0)
    whole, _ = ours.encode([*TEXTS, "cat " * 500])
    monkeypatch.setattr(external_encoder, "TEXT_BATCH", 3)
    pieces, truncated = ours.encode([*TEXTS, "cat " * 500])
    torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-5)
    assert truncated == [False, False, False, True]


def test_texts_beyond_the_trained_positions_are_cut_and_told(encoder: Path) -> None:
    vectors, truncated = open_external_encoder(encoder, 8, 0).encode(["cat " * 14, "cat " * 15, "cat " * 500])
    assert truncated == [False, True, True]  # 16 positions, two of them for the marks
    torch.testing.assert_close(vectors[1], vectors[2])


@pytest.mark.parametrize("dim", [8, 24, 40])
def test_what_was_saved_gives_the_same_vectors_with_nothing_else_at_hand(
    encoder: Path, tmp_path: Path, dim: int
) -> None:
    first = open_external_encoder(encoder, dim, seed=7)
    first.encode(TEXTS)
    first.save(tmp_path / "version" / "text")
    for file in encoder.iterdir():
        file.unlink()
    second = ExternalTextEncoder.load(tmp_path / "version" / "text")
    assert torch.equal(first.encode(TEXTS)[0], second.encode(TEXTS)[0])
    assert (first.digest, first.dim, first.name) == (second.digest, second.dim, second.name)
    assert str(tmp_path) not in (tmp_path / "version" / "text" / "text.json").read_text()


@pytest.mark.parametrize(("width", "dim"), [(768, 512), (384, 512), (384, 384)])
def test_the_fitting_matrix_is_orthonormal_and_the_seed_s(width: int, dim: int) -> None:
    matrix = orthonormal(width, dim, seed=0)
    gram = matrix.T @ matrix if width > dim else matrix @ matrix.T
    torch.testing.assert_close(gram, torch.eye(min(width, dim)), rtol=0, atol=1e-5)
    assert torch.equal(matrix, orthonormal(width, dim, seed=0))
    assert torch.equal(matrix, orthonormal(width, dim, seed=1)) is (width == dim)


def test_a_wider_space_keeps_every_cosine(encoder: Path) -> None:
    own, wider = (normalize(open_external_encoder(encoder, dim, 0).encode(TEXTS)[0], dim=-1) for dim in (24, 40))
    torch.testing.assert_close(own @ own.T, wider @ wider.T, rtol=1e-4, atol=1e-5)


def test_the_digest_knows_weights_words_and_matrix(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "bert")
    digests = {
        open_external_encoder(folder, 24, 0).digest,
        open_external_encoder(folder, 8, 0).digest,
        open_external_encoder(folder, 8, 1).digest,
    }
    rules = json.loads((folder / "tokenizer.json").read_text())
    rules["model"]["vocab"] |= {"cat": 6, "dog": 5}
    (folder / "tokenizer.json").write_text(json.dumps(rules))
    digests.add(open_external_encoder(folder, 24, 0).digest)
    state = load_file(folder / "model.safetensors")
    state["embeddings.word_embeddings.weight"][5] += 1
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    digests.add(open_external_encoder(folder, 24, 0).digest)
    assert len(digests) == 5


def test_a_pooler_that_is_not_in_the_file_changes_nothing(tmp_path: Path) -> None:
    """transformers fills it with random numbers."""
    folder = write_encoder(tmp_path / "bert")
    state = load_file(folder / "model.safetensors")
    save_file(
        {k: v for k, v in state.items() if "pooler" not in k}, folder / "model.safetensors", metadata={"format": "pt"}
    )
    assert open_external_encoder(folder, 24, 0).digest == open_external_encoder(folder, 24, 0).digest


def test_minilm_is_the_package_s_encoder(tmp_path: Path) -> None:
    """The same weights, read by transformers from the package's files, give the same vectors."""
    ours = open_external_encoder("minilm", 384, 0)
    theirs = open_external_encoder(minilm.package_folder(), 384, 0)
    mine, other = (normalize(side.encode(TEXTS)[0], dim=-1) for side in (ours, theirs))
    torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)
    ours.save(tmp_path)
    again = ExternalTextEncoder.load(tmp_path)
    assert again.digest == ours.digest
    assert torch.equal(again.encode(TEXTS)[0], ours.encode(TEXTS)[0])


def test_it_fills_a_classifier(encoder: Path) -> None:
    base = tiny_base()
    texts = choose_text_encoder(f"text:{encoder.name}", base.text_encoder, seed=0, folder=encoder.parent)
    assert texts is not base.text_encoder
    assert choose_text_encoder("text", base.text_encoder, seed=0) is base.text_encoder
    inputs = TextInputs("template", ("a {}",))
    classifier = build_classifier(
        "text:tiny", labels=["cat", "dog"], encoder=texts, inputs=inputs, dim=base.dim, seed=0
    )
    expected = normalize(texts.encode(["a cat", "a dog"])[0], dim=-1)
    torch.testing.assert_close(classifier.rows(), expected)
    assert classifier.open_labels
    with pytest.raises(ValueError, match="no learned context"):
        build_classifier("text:tiny", labels=["cat"], encoder=texts, inputs=TextInputs("context"), dim=base.dim, seed=0)


@pytest.mark.parametrize("name", ["bert", "org/bert", "../bert", "/bert", "a/b/c/d", "nothing here"])
def test_a_name_is_neither_a_path_nor_found_where_no_hub_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_encoder(tmp_path / "bert")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pretrained, "hub_has_file", lambda *_: False)
    (tmp_path / "weights").mkdir()
    with pytest.raises(WeightsUnavailable, match="no text encoder") as caught:
        open_external_encoder(name, 8, 0, folder=tmp_path / "weights")
    assert "text:minilm" in (caught.value.hint or "")


def test_pickles_are_refused(encoder: Path) -> None:
    torch.save(load_file(encoder / "model.safetensors"), encoder / "pytorch_model.bin")
    (encoder / "model.safetensors").unlink()
    with pytest.raises(WeightsUnavailable, match="cannot be used"):
        open_external_encoder(encoder, 8, 0)


def test_incomplete_weights_are_refused(encoder: Path) -> None:
    state = load_file(encoder / "model.safetensors")
    state.pop(next(name for name in state if "layer.1" in name))
    save_file(state, encoder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsUnavailable, match="incomplete"):
        open_external_encoder(encoder, 8, 0)


def test_a_damaged_version_is_told(encoder: Path, tmp_path: Path) -> None:
    open_external_encoder(encoder, 8, 0).save(tmp_path / "text")
    (tmp_path / "text" / "projection.safetensors").write_bytes(b"damaged")
    with pytest.raises(WeightsUnavailable, match="cannot be read"):
        ExternalTextEncoder.load(tmp_path / "text")
