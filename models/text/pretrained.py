"""Text-only encoders that other projects trained: MiniLM from its pip package, and whatever transformers can load.

Each gives the mean of its word vectors over the real tokens (method §5).
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

from models.text import minilm
from models.weights.digests import digest
from models.weights.errors import WeightsUnavailable
from models.weights.hub import hub_has_file
from models.weights.states import weights_digest

MINILM = "minilm"  # all-MiniLM-L6-v2, of the extra `offline`
PREFIX = "text:"  # of the classifier kinds whose rows such an encoder gives

_WEIGHTS, _TOKENIZER, _CONFIG = "model.safetensors", "tokenizer.json", "config.json"
_INSTALL = "pip install 'vireo[offline]'"


class PretrainedEncoder(Protocol):
    """An encoder whose vectors are not yet fitted to the joint space."""

    kind: str
    module: nn.Module
    digest: str  # of weights and tokenizer

    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        """→ float32 [n, width], and for each text whether it was truncated."""

    def save(self, directory: Path) -> None:
        """Write everything that is needed to load the encoder again."""


def open_pretrained(name: str | Path, folder: Path | None = None) -> PretrainedEncoder:
    """name: `minilm`; a directory, as a Path; a subdirectory of `folder`; or a model of the hub. A string is never used
    as a path of its own, because it may come from a request.

    Raises: WeightsUnavailable, within seconds if the hub cannot be reached.
    """
    if name == MINILM:
        return PretrainedMiniLM.from_package()
    return PretrainedTransformer(name.name if isinstance(name, Path) else name, _find_source(name, folder))


def load_pretrained(kind: str, name: str, directory: Path) -> PretrainedEncoder:
    """The encoder of this kind that `save` wrote into `directory`. Raises: WeightsUnavailable."""
    if kind == PretrainedMiniLM.kind:
        return PretrainedMiniLM.load(directory)
    return PretrainedTransformer(name, str(directory))


class PretrainedMiniLM:
    """The same network that `lite` uses."""

    kind = "sentence"

    def __init__(self, model: minilm.MiniLM, tokenizer: Any) -> None:
        self.module: nn.Module = model.eval().requires_grad_(False)
        self._model, self._tokenizer = model, tokenizer
        self.digest = digest("sentence", weights_digest(model.state_dict()), tokenizer.to_str())

    @classmethod
    def from_package(cls) -> PretrainedMiniLM:
        """Raises: WeightsUnavailable."""
        model = minilm.MiniLM()
        model.load_state_dict(minilm.to_minilm_state(minilm.read_minilm_package()))
        return cls(model, minilm.open_minilm_tokenizer(minilm.package_folder() / _TOKENIZER))

    @classmethod
    def load(cls, directory: Path) -> PretrainedMiniLM:
        """Raises: WeightsUnavailable."""
        model = minilm.MiniLM()
        try:
            model.load_state_dict(load_file(directory / _WEIGHTS))
            return cls(model, minilm.open_minilm_tokenizer(directory / _TOKENIZER))
        except Exception as error:  # the readers raise many types of exception for damaged files
            raise WeightsUnavailable(f"The version's text encoder cannot be read: {error}") from error

    @torch.no_grad()
    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        return minilm.encode_sentences(self._model, self._tokenizer, texts)

    def save(self, directory: Path) -> None:
        save_file(
            {name: tensor.contiguous() for name, tensor in self._model.state_dict().items()}, directory / _WEIGHTS
        )
        self._tokenizer.save(str(directory / _TOKENIZER))


class PretrainedTransformer:
    """Any model that transformers' AutoModel loads from a directory or by a hub name. Only safetensors are read, and no
    code from there is run."""

    kind = "transformers"

    def __init__(self, name: str, source: str) -> None:
        """name: for messages; source: what `from_pretrained` is given. Raises: WeightsUnavailable if it is not a text
        encoder."""
        try:
            from transformers import AutoModel, AutoTokenizer  # an optional extra
        except ImportError as error:
            raise WeightsUnavailable(f"The text encoder {name} needs the package transformers.", _INSTALL) from error
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
            model, found = AutoModel.from_pretrained(
                source, use_safetensors=True, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
            )
            self.module: nn.Module = model.eval().requires_grad_(False)
            if hasattr(model, "pooler"):
                model.pooler = None  # it reads the first token only, is unused here, and random if the file has none
            self._tokenizing = threading.Lock()  # fast tokenizers are not re-entrant ("Already borrowed")
            self._limit = min(int(self._tokenizer.model_max_length), _trained_positions(model.config))
            self.digest = digest(
                "transformers", weights_digest(model.state_dict()), _tokenizer_rules(self._tokenizer), self._limit
            )
            self.encode(["a video", "somebody rides a bicycle"])
        except Exception as error:  # neither library documents what loading and a first text may raise
            raise WeightsUnavailable(
                f"{name} cannot be used as a text encoder: {next(iter(str(error).splitlines()), '')[:200]}",
                "Use one that transformers' AutoModel and AutoTokenizer load, saved as safetensors.",
            ) from error
        missing = sorted(key for key in found["missing_keys"] if not key.startswith("pooler."))
        if missing:
            raise WeightsUnavailable(f"The weights of {name} are incomplete: {', '.join(missing[:3])} …")

    @torch.no_grad()
    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        with self._tokenizing:
            untruncated = self._tokenizer(texts, verbose=False)["input_ids"]
            batch = self._tokenizer(
                texts, padding=True, truncation=True, max_length=self._limit, return_tensors="pt"
            )  # [n, L] each
        batch = batch.to(next(self.module.parameters()).device)
        states = self.module(**batch).last_hidden_state  # [n, L, width]
        weight = batch["attention_mask"].unsqueeze(-1).to(states.dtype)  # [n, L, 1]
        vectors: Tensor = (states * weight).sum(dim=1) / weight.sum(dim=1)  # [n, width]
        return vectors, [len(ids) > self._limit for ids in untruncated]

    def save(self, directory: Path) -> None:
        self.module.save_pretrained(directory)  # type: ignore[operator]  # a method of transformers' PreTrainedModel
        self._tokenizer.save_pretrained(directory)


def _find_source(name: str | Path, folder: Path | None) -> str:
    """What `from_pretrained` is given. Raises: WeightsUnavailable."""
    if isinstance(name, Path):
        return str(name)
    local = (folder / name).resolve() if folder else None
    if local and folder and local.is_relative_to(folder.resolve()) and (local / _CONFIG).is_file():
        return str(local)
    try:
        cached = [try_to_load_from_cache(name, file) for file in (_CONFIG, _WEIGHTS)]
    except ValueError:  # not a valid hub name
        cached = []
    if cached and all(isinstance(file, str) for file in cached):
        return str(Path(str(cached[0])).parent)
    if not hub_has_file(name, _CONFIG):
        raise WeightsUnavailable(
            f"There is no text encoder {name!r} on this machine, and the model hub does not have it or cannot be "
            "reached.",
            f"Use {PREFIX}{MINILM}, or put its directory (config.json, model.safetensors, tokenizer.json) into the "
            "data directory under weights/.",
        )
    return name


def _trained_positions(config: Any) -> int:
    """How many positions were trained. The RoBERTa family counts from the padding's id on, so two are not used."""
    positions = int(getattr(config, "max_position_embeddings", None) or 1 << 30)
    shifted = "roberta" in str(getattr(config, "model_type", "")) or config.model_type == "mpnet"
    return positions - 2 if shifted else positions


def _tokenizer_rules(tokenizer: Any) -> str:
    """The tokenizer's rules as JSON, without padding and truncation, which the last call may have changed."""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    return json.dumps({key: value for key, value in rules.items() if key not in ("padding", "truncation")})
