"""A pretrained text-only encoder as the source of W: the paper's DistilBERT case (method §5).

The paper's text vectors were wider than the joint space, and it does not say how they were fitted. Ours are multiplied
by a fixed matrix that is drawn with a seed and has orthonormal columns; if the joint space is wider, it has orthonormal
rows, so every cosine stays the same. Matrix and encoder are saved with the version, so that it serves any labels on its
own.

    <directory>/text.json, projection.safetensors, encoder/…
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.text.encoder import TextEncoder
from models.text.pretrained import PREFIX, PretrainedEncoder, load_pretrained, open_pretrained
from models.weights.digests import digest
from models.weights.errors import WeightsUnavailable
from models.weights.states import weights_digest

TEXT_BATCH = 64

_META, _PROJECTION, _ENCODER = "text.json", "projection.safetensors", "encoder"


class ExternalTextEncoder:
    """A TextEncoder: a frozen pretrained encoder and its projection to the joint space. It cannot learn a context."""

    context_width: int | None = None

    def __init__(self, name: str, encoder: PretrainedEncoder, projection: Tensor) -> None:
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
        """→ float32 [n, d], un-normalised; and for each text whether it was truncated."""
        parts = [self._encoder.encode(texts[start : start + TEXT_BATCH]) for start in range(0, len(texts), TEXT_BATCH)]
        vectors = torch.cat([part for part, _ in parts]).float()  # [n, width]
        truncated = [flag for _, flags in parts for flag in flags]
        fitted: Tensor = vectors @ self._projection.to(vectors.device)  # [n, width] · [width, d] → [n, d]
        return fitted, truncated

    def encode_with_context(self, texts: list[str], context: Tensor) -> Tensor:
        """Raises: TypeError, always."""
        raise TypeError(f"{self.name} takes no learned context: {len(texts)} texts, context {tuple(context.shape)}")

    def save(self, directory: Path) -> None:
        """Write everything that `load` needs into `directory`."""
        (directory / _ENCODER).mkdir(parents=True, exist_ok=True)
        self._encoder.save(directory / _ENCODER)
        save_file({"projection": self._projection.contiguous()}, directory / _PROJECTION)
        (directory / _META).write_text(
            json.dumps({"format": 1, "kind": self._encoder.kind, "name": self.name}) + "\n", encoding="utf-8"
        )

    @classmethod
    def load(cls, directory: Path) -> ExternalTextEncoder:
        """Read what `save` wrote. Raises: WeightsUnavailable."""
        try:
            meta = json.loads((directory / _META).read_text(encoding="utf-8"))
            name, kind = str(meta["name"]), str(meta["kind"])
            projection = load_file(directory / _PROJECTION)["projection"]
        except Exception as error:  # the readers raise many types of exception for damaged files
            raise WeightsUnavailable(f"The version's text encoder cannot be read: {error}") from error
        return cls(name, load_pretrained(kind, name, directory / _ENCODER), projection)


def choose_text_encoder(kind: str, own: TextEncoder, *, seed: int, folder: Path | None = None) -> TextEncoder:
    """The encoder that gives the rows of this kind of classifier: `own`, or the one that `text:<encoder>` names.

    Raises: WeightsUnavailable.
    """
    if kind.startswith(PREFIX):
        return open_external_encoder(kind.removeprefix(PREFIX), own.dim, seed, folder=folder)
    return own


def open_external_encoder(name: str | Path, dim: int, seed: int, *, folder: Path | None = None) -> ExternalTextEncoder:
    """name: as `open_pretrained` takes it; dim: d; seed: of the projection. Raises: WeightsUnavailable, within seconds
    if the hub cannot be reached."""
    encoder = open_pretrained(name, folder)
    vectors, _ = encoder.encode(["a video"])  # [1, width]
    shown = name.name if isinstance(name, Path) else name
    return ExternalTextEncoder(shown, encoder, orthonormal(vectors.shape[1], dim, seed))


def orthonormal(width: int, dim: int, seed: int) -> Tensor:
    """A fixed matrix float32 [width, d]: with orthonormal columns, or with orthonormal rows if d is larger; the
    identity if width is d."""
    if width == dim:
        return torch.eye(dim)
    generator = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(max(width, dim), min(width, dim), generator=generator, dtype=torch.float64)
    basis: Tensor = torch.linalg.qr(gaussian).Q.float()  # [larger, smaller]
    return (basis if width > dim else basis.T).contiguous()
