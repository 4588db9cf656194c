"""A CSV file with one row per classified video, written row by row: a command that was interrupted goes on with it."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO

from vireo.errors import InvalidRequest, VireoError

COLUMNS: Final = (
    *("file", "label", "score", "similarity", "confidence", "abstained", "model"),
    *("predictions", "error_code", "error", "question"),
)


class AnswerFile:
    """The rows of one question. It can be used as a context manager, which closes it."""

    def __init__(self, path: Path, labels: Sequence[str], options: Mapping[str, Any]) -> None:
        """Go on with the file at `path`, or begin it. Raises: InvalidRequest where it has other content, or answers to
        another question; OSError."""
        self.path = path
        self._question = _digest(labels, options)
        self._model: str | None = None
        self.names: set[str] = set()
        """The videos that have a row."""
        if path.exists():
            self._read(_without_torn_row(path))
        self._file: TextIO = path.open("a", encoding="utf-8", newline="")
        self._writer = csv.DictWriter(self._file, COLUMNS)
        if self._file.tell() == 0:
            self._writer.writeheader()
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, name: str, answer: Mapping[str, Any]) -> None:
        """Raises: InvalidRequest where another model has answered than in the rows before."""
        if self._model is not None and answer["model"] != self._model:
            raise InvalidRequest(
                f"{self.path} has answers of {self._model}; the server answers with {answer['model']} now.",
                hint=f"Ask for that model with --model {self._model}, or write another file.",
            )
        self._model = answer["model"]
        best = answer["predictions"][0]
        self._write(
            {name: best.get(name) for name in ("label", "score", "similarity", "confidence")}
            | {
                "file": name,
                "abstained": str(answer["abstained"]).lower(),
                "model": answer["model"],
                "predictions": json.dumps(
                    [[each["label"], each["score"]] for each in answer["predictions"]], ensure_ascii=False
                ),
            }
        )

    def add_error(self, name: str, error: VireoError) -> None:
        """The row of a video that cannot be classified."""
        self._write({"file": name, "error_code": error.code, "error": error.message})

    def _write(self, row: dict[str, Any]) -> None:
        self._writer.writerow(row | {"question": self._question})
        self._file.flush()
        self.names.add(row["file"])

    def _read(self, text: str) -> None:
        rows = csv.reader(text.splitlines(keepends=True))
        header = next(rows, None)
        if header is not None and header != list(COLUMNS):
            raise _not_ours(self.path)
        for cells in rows:
            row = dict(zip(COLUMNS, cells, strict=False))
            if row.get("question") != self._question:
                raise InvalidRequest(
                    f"{self.path} has answers to another question: other labels, another model or other options.",
                    hint="Ask as before to go on with it, or name another file.",
                )
            self.names.add(row["file"])
            self._model = row["model"] or self._model


def _digest(labels: Sequence[str], options: Mapping[str, Any]) -> str:
    given = {name: value for name, value in options.items() if value is not None}
    return hashlib.sha256(json.dumps([list(labels), given], sort_keys=True).encode()).hexdigest()[:16]


def _without_torn_row(path: Path) -> str:
    """The text of the file. A row that was being written when the command was killed is cut off. Raises:
    InvalidRequest."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    header = ",".join(COLUMNS).encode()
    if content[: len(header)] != header[: len(content)]:  # nothing is cut off a file of somebody else
        raise _not_ours(path)
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return whole.decode(errors="replace")


def _not_ours(path: Path) -> InvalidRequest:
    return InvalidRequest(f"{path} is no file of answers: its columns are others.", hint="Name another file.")
