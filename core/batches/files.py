"""The files of a batch in the store. They belong to its job, and are deleted with it.

    jobs/<job id>/manifest                    as it was sent
    jobs/<job id>/items/0000500.jsonl         500 checked items, from this index on
    jobs/<job id>/items.json                  how many items there are; written last
    jobs/<job id>/rows/0000008-0000015.jsonl  the rows of these items, which were ready together

A file of rows never changes its meaning: two attempts that write the same rows write the same lines. An attempt that
was superseded may write fewer rows, and Redis may lose its last second. So files may overlap, and each row counts once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Final

from core.batches.manifest import BatchItem
from core.batches.rows import BatchRow
from core.errors import VireoError
from core.state.payloads import MANIFEST, payloads_key
from core.storage import Store

BLOCK: Final = 500  # items in a file


class BatchFiles:
    """Raises StorageUnavailable while the store cannot be reached."""

    def __init__(self, store: Store, job_id: str) -> None:
        self._store = store
        self._folder = payloads_key(job_id)
        self._block: tuple[int, list[BatchItem]] | None = None  # the last block that was read

    def manifest(self) -> AbstractContextManager[Path]:
        """Raises: FileNotFoundError."""
        return self._store.local_file(f"{self._folder}/{MANIFEST}")

    def write_items(self, items: Iterable[BatchItem]) -> int:
        """Keep the items. Returns how many there are."""
        total = 0
        rest = iter(items)
        while block := list(islice(rest, BLOCK)):
            self._write(f"items/{total:07}", block)
            total += len(block)
        self._store.write_text(f"{self._folder}/items.json", json.dumps({"items": total}))
        return total

    def total(self) -> int | None:
        """How many items there are; None while they are not written."""
        text = self._store.read_text(f"{self._folder}/items.json")
        return None if text is None else int(json.loads(text)["items"])

    def items(self, first: int, total: int) -> Iterator[BatchItem]:
        """The items from `first` on. Raises: VireoError if a file is gone."""
        for start in range(first - first % BLOCK, total, BLOCK):
            yield from self._items_of(start)[max(0, first - start) :]

    def write_rows(self, rows: Sequence[BatchRow]) -> None:
        self._write(f"rows/{rows[0].index:07}-{rows[-1].index:07}", rows)

    def rows(self) -> Iterator[str]:
        """The JSON of all rows that are there, in the order of the manifest."""
        following = 0
        for name in self._store.children(f"{self._folder}/rows"):
            first = int(name.partition("-")[0])
            for offset, line in enumerate(_lines(self._store.read_text(f"{self._folder}/rows/{name}") or "")):
                if first + offset >= following:
                    yield line
                    following = first + offset + 1

    def _items_of(self, start: int) -> list[BatchItem]:
        if self._block is None or self._block[0] != start:
            text = self._store.read_text(f"{self._folder}/items/{start:07}.jsonl")
            if text is None:
                raise VireoError("The items of the batch are no longer in the store.", hint="Send the batch again.")
            self._block = (start, [BatchItem.model_validate_json(line) for line in _lines(text)])
        return self._block[1]

    def _write(self, name: str, records: Iterable[BatchItem] | Iterable[BatchRow]) -> None:
        lines = "".join(f"{record.model_dump_json()}\n" for record in records)
        self._store.write_text(f"{self._folder}/{name}.jsonl", lines)


def _lines(text: str) -> list[str]:
    """Not `splitlines`, which also splits at characters that JSON has in its texts."""
    return text.split("\n")[:-1]
