"""Cache of text classifiers, one row per label.

Tiers: whole matrices and rows in this process (LRU) ▸ rows in Redis ▸ the text tower. A row's key covers the text
tower's weights, the tokenizer, templates or prompts, the label and the normaliser
(`models.classifier.row_keys.row_key`), so a row is never used with other weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from core.projects import DEFAULT_PROJECT, prefix_of
from core.prometheus import CACHE_REQUESTS
from core.questions import Label
from core.state import keys
from models.classifier.ensemble import build_rows
from models.classifier.row_keys import row_key
from models.recognition.recognizer import Recognizer, TextCall
from worker.inference.caches.entries import seal, unseal
from worker.inference.caches.lru import MEMORY_BYTES, ByteLRU
from worker.inference.caches.remote import RemoteCache

ROW_FORMAT = 2  # of `ClassifierRow.pack`; the first format had neither a version nor a checksum

Outcome = Literal["hit", "partial", "miss"]


@dataclass(frozen=True, slots=True)
class ClassifierRow:
    vector: bytes  # float32 [d], unit length
    truncated: bool  # the label is longer than the text tower reads

    def pack(self) -> bytes:
        return seal(bytes([self.truncated]) + self.vector, ROW_FORMAT)

    @classmethod
    def unpack(cls, data: bytes, dim: int) -> ClassifierRow | None:
        """None where `data` is not a row of `dim` numbers in this format."""
        content = unseal(data, ROW_FORMAT)
        return cls(content[1:], bool(content[0])) if content and len(content) == 1 + 4 * dim else None


@dataclass(frozen=True, slots=True)
class ClassifierMatrix:
    matrix: torch.Tensor  # float32 [C, d], unit rows
    truncated: tuple[int, ...]  # indices of labels that are longer than the text tower reads


class ClassifierCache:
    def __init__(self, remote: RemoteCache, memory_bytes: int = MEMORY_BYTES) -> None:
        self._remote = remote
        self._prefix = prefix_of(DEFAULT_PROJECT)
        self._rows: ByteLRU[str, ClassifierRow] = ByteLRU(memory_bytes)
        self._matrices: ByteLRU[tuple[object, ...], ClassifierMatrix] = ByteLRU(memory_bytes)

    def of(self, project: str) -> ClassifierCache:
        """What belongs to a project: a hit does not tell it that another project has asked for a label."""
        view = copy(self)
        view._prefix = prefix_of(project)
        return view

    def classifier(
        self,
        recognizer: Recognizer,
        labels: Sequence[Label],
        templates: tuple[str, ...],
        normalise: bool,
        encode: TextCall | None = None,
    ) -> tuple[ClassifierMatrix, Outcome]:
        """The matrix W of these labels in this order. `encode`: replaces `recognizer.encode_texts`; the handlers pass
        the batcher's. Raises: ValueError for unusable templates or labels, and what `encode` raises."""
        address = self._address(recognizer, labels, templates, normalise)
        if whole := self._at(address, len(labels)):
            return whole, "hit"
        rows, built = self._collect(recognizer, labels, templates, normalise, encode or recognizer.encode_texts)
        matrix = torch.from_numpy(np.frombuffer(b"".join(r.vector for r in rows), np.float32).copy())  # [C·d]
        classifier = ClassifierMatrix(
            matrix.view(len(rows), recognizer.dim),  # [C, d]
            tuple(index for index, row in enumerate(rows) if row.truncated),
        )
        self._matrices.put(address, classifier, matrix.nbytes)
        return classifier, "hit" if not built else "miss" if built == len(rows) else "partial"

    def known(
        self, recognizer: Recognizer, labels: Sequence[Label], templates: tuple[str, ...], normalise: bool
    ) -> ClassifierMatrix | None:
        """The matrix if it is in this process's memory."""
        return self._at(self._address(recognizer, labels, templates, normalise), len(labels))

    def _address(
        self, recognizer: Recognizer, labels: Sequence[Label], templates: tuple[str, ...], normalise: bool
    ) -> tuple[object, ...]:
        """Of strings: ten thousand labels of pydantic take long to hash and to compare."""
        names = tuple([label.name for label in labels])
        prompts = tuple([(place, label.prompts) for place, label in enumerate(labels) if label.prompts is not None])
        return self._prefix, recognizer.text_digest, templates, normalise, names, prompts

    def _at(self, address: tuple[object, ...], labels: int) -> ClassifierMatrix | None:
        if whole := self._matrices.get(address):
            CACHE_REQUESTS.labels("classifier", "memory").inc(labels)
        return whole

    def _collect(
        self,
        recognizer: Recognizer,
        labels: Sequence[Label],
        templates: tuple[str, ...],
        normalise: bool,
        encode: TextCall,
    ) -> tuple[list[ClassifierRow], int]:
        """One row per label, and the number of them that the text tower had to make."""
        addresses = [
            self._prefix
            + row_key(
                label.name,
                label.prompts,
                templates,
                normalise=normalise,
                text_digest=recognizer.text_digest,
                device_type=recognizer.device.type,
            )
            for label in labels
        ]
        found = {address: row for address in addresses if (row := self._rows.get(address))}
        CACHE_REQUESTS.labels("classifier", "memory").inc(len(found))
        found |= self._from_redis([address for address in addresses if address not in found], recognizer.dim)
        missing = [index for index, address in enumerate(addresses) if address not in found]
        if missing:
            CACHE_REQUESTS.labels("classifier", "miss").inc(len(missing))
            fresh = self._build(encode, [labels[index] for index in missing], templates, normalise)
            made = dict(zip((addresses[index] for index in missing), fresh, strict=True))
            self._to_redis(made)
            found |= made
        for address in addresses:
            self._rows.put(address, found[address], len(found[address].vector))
        return [found[address] for address in addresses], len(missing)

    def _build(
        self, encode: TextCall, labels: Sequence[Label], templates: tuple[str, ...], normalise: bool
    ) -> list[ClassifierRow]:
        of_labels = [(label.name, label.prompts) for label in labels]
        matrix, truncated = build_rows(encode, of_labels, templates, normalise)  # [C, d]
        vectors = matrix.float().cpu().numpy().astype(np.float32)
        return [ClassifierRow(vector.tobytes(), cut) for vector, cut in zip(vectors, truncated, strict=True)]

    def _from_redis(self, addresses: list[str], dim: int) -> dict[str, ClassifierRow]:
        entries = {address: _key(address) for address in addresses}
        there = self._remote.get(list(entries.values()))
        found = {
            address: row
            for address, entry in entries.items()
            if entry in there and (row := ClassifierRow.unpack(there[entry], dim))
        }
        CACHE_REQUESTS.labels("classifier", "redis").inc(len(found))
        return found

    def _to_redis(self, rows: dict[str, ClassifierRow]) -> None:
        self._remote.put({_key(address): row.pack() for address, row in rows.items()})


def _key(address: str) -> str:
    """The format is in the key, so workers of two versions do not overwrite each other's rows."""
    return keys.cached_row(f"{ROW_FORMAT}:{address}")
