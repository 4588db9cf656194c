"""The files of a batch in a real store: items, rows, and both formats of the results."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from core.batches.files import BLOCK, BatchFiles
from core.batches.manifest import BatchItem
from core.batches.rows import as_csv, row_of
from core.errors import InvalidRequest
from core.storage import Store


def opened(folder: Path) -> BatchFiles:
    return BatchFiles(Store(folder.as_uri(), folder / "spool"), "job_1")


def test_items_are_read_from_any_place(tmp_path: Path) -> None:
    files = opened(tmp_path)
    assert files.total() is None
    assert files.write_items(BatchItem(index=index, id="a\u2028b") for index in range(2 * BLOCK + 3)) == 2 * BLOCK + 3
    total = opened(tmp_path).total()
    assert total == 2 * BLOCK + 3
    for first in (0, 1, BLOCK - 1, BLOCK, 2 * BLOCK + 2):
        assert [item.index for item in files.items(first, total)] == list(range(first, total))


def test_rows_that_were_written_twice_count_once(tmp_path: Path) -> None:
    files = opened(tmp_path)
    rows = [row_of(BatchItem(index=index, id=f"{index}\u2028"), None, None) for index in range(7)]
    # Redis lost its last second after the first two; an attempt that was superseded wrote the last one
    for first, last in ((0, 4), (4, 6), (2, 5), (6, 7), (4, 5)):
        files.write_rows(rows[first:last])
    assert [json.loads(line)["index"] for line in files.rows()] == list(range(7))


def test_rows_as_csv() -> None:
    answer = {
        "model": "lite",
        "predictions": [{"label": 'a "b", c', "score": 0.9, "similarity": 0.3}],
        "abstained": False,
    }
    video = {"id": "vid_1", "duration": 1.0, "width": 2, "height": 2, "codec": "h264"}
    done = row_of(BatchItem(index=0, id="x\ny", source="vid_1"), answer | {"video": video}, None)
    failed = row_of(BatchItem(index=1), None, InvalidRequest("It is broken.").to_dict())
    found = list(csv.DictReader(as_csv(row.model_dump_json() for row in (done, failed))))
    assert found[0]["id"] == "x\ny"
    assert (found[0]["label"], found[0]["score"], found[0]["abstained"]) == ('a "b", c', "0.9", "false")
    assert json.loads(found[0]["predictions"]) == [['a "b", c', 0.9]]
    assert (found[1]["label"], found[1]["error_code"], found[1]["error"]) == ("", "invalid_request", "It is broken.")
