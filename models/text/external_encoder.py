"""A text-only encoder as the source of W: the paper's DistilBERT case (method §5).

Word vectors are averaged over the real tokens. The paper's vectors were wider than the joint space and it does not say
how they were fitted: ours are multiplied by a fixed matrix, drawn with a seed, with orthonormal columns (rows, where
the joint space is the wider one: then every cosine stays as it was). The matrix is kept with the version, and so is the
encoder, so that a version serves any labels with nothing else at hand.

    <directory>/text.json, projection.safetensors, encoder/…
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, Protocol

import torch
from huggingface_hub import try_to_load_from_cache
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.text import sentence
from models.text.encoders import TextSide
from models.weights.digests import digest
from models.weights.states import WeightsUnavailable, hub_has_file, weights_digest

MINILM = "minilm"  # all-MiniLM-L6-v2, of the extra `offline`
PREFIX = "text:"  # of the classifiers that read with such an encoder
TEXT_BATCH = 64

_META, _PROJECTION, _ENCODER = "text.json", "projection.safetensors", "encoder"
_WEIGHTS, _TOKENIZER, _CONFIG = "model.safetensors", "tokenizer.json", "config.json"
_INSTALL = "pip install 'vireo[offline]'"


class Encoder(Protocol):
    """What an encoder gives before it is fitted to the joint space."""

    kind: str
    module: nn.Module
    digest: str  # of weights and tokenizer

    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        """→ float32 [n, width], and per text whether its end was not read."""

    def save(self, directory: Path) -> None:
        """Everything that is needed to open it again."""


class ExternalText:
    """A TextSide. Its encoder is frozen, and its vectors cannot be preceded by learned ones."""

    context_width: int | None = None

    def __init__(self, name: str, encoder: Encoder, projection: Tensor) -> None:
        """projection: [width, d]."""
        self.name = name
        self._encoder = encoder
        self._projection = projection
        self.dim = projection.shape[1]
        self.digest = digest("external-text", encoder.digest, weights_digest({"projection": projection}))

    @property
    def module(self) -> nn.Module:
        return self._encoder.module

    @torch.no_grad()
    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        """→ float32 [n, d], un-normalised; per text whether its end was not read."""
        parts = [self._encoder.encode(texts[start : start + TEXT_BATCH]) for start in range(0, len(texts), TEXT_BATCH)]
        vectors = torch.cat([part for part, _ in parts]).float()  # [n, width]
        truncated = [flag for _, flags in parts for flag in flags]
        fitted: Tensor = vectors @ self._projection.to(vectors.device)  # [n, width] · [width, d] → [n, d]
        return fitted, truncated

    def encode_with_context(self, texts: list[str], context: Tensor) -> Tensor:
        """Raises: TypeError, always."""
        raise TypeError(f"{self.name} takes no learned context: {len(texts)} texts, context {tuple(context.shape)}")

    def save(self, directory: Path) -> None:
        """Write it into `directory`, from which `load` needs nothing else."""
        (directory / _ENCODER).mkdir(parents=True, exist_ok=True)
        self._encoder.save(directory / _ENCODER)
        save_file({"projection": self._projection.contiguous()}, directory / _PROJECTION)
        (directory / _META).write_text(
            json.dumps({"format": 1, "kind": self._encoder.kind, "name": self.name}) + "\n", encoding="utf-8"
        )

    @classmethod
    def load(cls, directory: Path) -> ExternalText:
        """What `save` wrote. Raises: WeightsUnavailable."""
        try:
            said = json.loads((directory / _META).read_text(encoding="utf-8"))
            name, kind = str(said["name"]), str(said["kind"])
            projection = load_file(directory / _PROJECTION)["projection"]
        except Exception as error:  # damaged bytes raise whatever their reader stumbles over
            raise WeightsUnavailable(f"The version's text encoder cannot be read: {error}") from error
        folder = directory / _ENCODER
        encoder = _Sentence.load(folder) if kind == _Sentence.kind else _Transformer(name, str(folder))
        return cls(name, encoder, projection)


def choose_texts(kind: str, texts: TextSide, *, seed: int, folder: Path | None = None) -> TextSide:
    """The text side that a classifier of this kind reads with: `texts`, or the encoder that `text:<encoder>` names.

    Raises: WeightsUnavailable.
    """
    if kind.startswith(PREFIX):
        return open_external(kind.removeprefix(PREFIX), texts.dim, seed, folder=folder)
    return texts


def open_external(name: str | Path, dim: int, seed: int, *, folder: Path | None = None) -> ExternalText:
    """name: `minilm`; a directory, as a Path; a subdirectory of `folder`; or a model of the hub. A name is never taken
    as a path of its own: it may come with a request.

    Raises: WeightsUnavailable, within seconds where the hub cannot be reached.
    """
    shown = name.name if isinstance(name, Path) else name
    encoder = _Sentence.package() if name == MINILM else _Transformer(shown, _find(name, folder))
    vectors, _ = encoder.encode(["a video"])  # [1, width]
    return ExternalText(shown, encoder, orthonormal(vectors.shape[1], dim, seed))


def orthonormal(width: int, dim: int, seed: int) -> Tensor:
    """A fixed matrix float32 [width, d] with orthonormal columns, or rows where d is the larger; the identity where
    nothing needs to be fitted."""
    if width == dim:
        return torch.eye(dim)
    generator = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(max(width, dim), min(width, dim), generator=generator, dtype=torch.float64)
    basis: Tensor = torch.linalg.qr(gaussian).Q.float()  # [larger, smaller]
    return (basis if width > dim else basis.T).contiguous()


class _Sentence:
    """`lite`'s sentence encoder, by the same code."""

    kind = "sentence"

    def __init__(self, encoder: sentence.SentenceEncoder, tokenizer: Any) -> None:
        self.module: nn.Module = encoder.eval().requires_grad_(False)
        self._model, self._tokenizer = encoder, tokenizer
        self.digest = digest("sentence", weights_digest(encoder.state_dict()), tokenizer.to_str())

    @classmethod
    def package(cls) -> _Sentence:
        encoder = sentence.SentenceEncoder()
        encoder.load_state_dict(sentence.translate(sentence.source_state()))
        return cls(encoder, sentence.open_tokenizer(sentence.package_folder() / _TOKENIZER))

    @classmethod
    def load(cls, folder: Path) -> _Sentence:
        encoder = sentence.SentenceEncoder()
        try:
            encoder.load_state_dict(load_file(folder / _WEIGHTS))
            return cls(encoder, sentence.open_tokenizer(folder / _TOKENIZER))
        except Exception as error:  # as above
            raise WeightsUnavailable(f"The version's text encoder cannot be read: {error}") from error

    @torch.no_grad()
    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        return sentence.encode(self._model, self._tokenizer, texts)

    def save(self, directory: Path) -> None:
        save_file(
            {name: tensor.contiguous() for name, tensor in self._model.state_dict().items()}, directory / _WEIGHTS
        )
        self._tokenizer.save(str(directory / _TOKENIZER))


class _Transformer:
    """Whatever transformers' AutoModel makes of a directory or hub name: safetensors only, and no code from there."""

    kind = "transformers"

    def __init__(self, name: str, source: str) -> None:
        """Raises: WeightsUnavailable where it is no text encoder."""
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise WeightsUnavailable(f"The encoder {name} is read by transformers.", _INSTALL) from error
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
            model, found = AutoModel.from_pretrained(
                source, use_safetensors=True, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
            )
            self.module: nn.Module = model.eval().requires_grad_(False)
            if hasattr(model, "pooler"):
                model.pooler = None  # of the first token alone, unused here, and random where the file has none
            self._tokenizing = threading.Lock()  # fast tokenizers are not re-entrant ("Already borrowed")
            self._limit = min(int(self._tokenizer.model_max_length), _positions(model.config))
            self.digest = digest(
                "transformers", weights_digest(model.state_dict()), _spelled(self._tokenizer), self._limit
            )
            self.encode(["a video", "somebody rides a bicycle"])
        except Exception as error:  # neither library says which exceptions loading and a first text may raise
            raise WeightsUnavailable(
                f"{name} cannot be used as a text encoder: {next(iter(str(error).splitlines()), '')[:200]}",
                "It must be one that transformers' AutoModel and AutoTokenizer load, saved as safetensors.",
            ) from error
        missing = sorted(key for key in found["missing_keys"] if not key.startswith("pooler."))
        if missing:
            raise WeightsUnavailable(f"The weights of {name} are incomplete: {', '.join(missing[:3])} …")

    @torch.no_grad()
    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        with self._tokenizing:
            whole = self._tokenizer(texts, verbose=False)["input_ids"]
            batch = self._tokenizer(
                texts, padding=True, truncation=True, max_length=self._limit, return_tensors="pt"
            )  # [n, L] each
        batch = batch.to(next(self.module.parameters()).device)
        states = self.module(**batch).last_hidden_state  # [n, L, width]
        weight = batch["attention_mask"].unsqueeze(-1).to(states.dtype)  # [n, L, 1]
        vectors: Tensor = (states * weight).sum(dim=1) / weight.sum(dim=1)  # [n, width]
        return vectors, [len(ids) > self._limit for ids in whole]

    def save(self, directory: Path) -> None:
        self.module.save_pretrained(directory)  # type: ignore[operator]  # of transformers' PreTrainedModel
        self._tokenizer.save_pretrained(directory)


def _find(name: str | Path, folder: Path | None) -> str:
    """What from_pretrained is to be given. Raises: WeightsUnavailable."""
    if isinstance(name, Path):
        return str(name)
    local = (folder / name).resolve() if folder else None
    if local and folder and local.is_relative_to(folder.resolve()) and (local / _CONFIG).is_file():
        return str(local)
    try:
        cached = [try_to_load_from_cache(name, file) for file in (_CONFIG, _WEIGHTS)]
    except ValueError:  # no name that a hub could have
        cached = []
    if cached and all(isinstance(file, str) for file in cached):
        return str(Path(str(cached[0])).parent)
    if not hub_has_file(name, _CONFIG):
        raise WeightsUnavailable(
            f"There is no text encoder {name!r} on this machine, and no hub that has it can be reached.",
            f"Use {PREFIX}{MINILM}, or place its directory (config.json, model.safetensors, tokenizer.json) among the "
            "data directory's weights.",
        )
    return name


def _positions(config: Any) -> int:
    """How many positions were trained. The RoBERTa family counts from the padding's id on, so that two are not used."""
    positions = int(getattr(config, "max_position_embeddings", None) or 1 << 30)
    shifted = "roberta" in str(getattr(config, "model_type", "")) or config.model_type == "mpnet"
    return positions - 2 if shifted else positions


def _spelled(tokenizer: Any) -> str:
    """The tokenizer's rules, without what the last call left behind."""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    return json.dumps({key: value for key, value in rules.items() if key not in ("padding", "truncation")})
