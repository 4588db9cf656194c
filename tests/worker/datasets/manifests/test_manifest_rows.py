from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import InvalidDataset
from core.labels.spelling import clean_label
from worker.datasets.manifests.manifest_rows import MAX_MANIFEST_BYTES, ManifestRow, ManifestTable, read_table


def read(text: str | bytes, folder: Path, name: str = "manifest.csv") -> ManifestTable:
    file = folder / "table"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(file, name)


def refused(text: str | bytes, folder: Path, name: str = "manifest.csv") -> tuple[int, str | None]:
    """(line, column) of the first error."""
    with pytest.raises(InvalidDataset) as error:
        read(text, folder, name)
    assert error.value.details["report"] == []
    first = error.value.details["errors"][0]
    assert f"line {first['line']}" in error.value.message
    assert (first["column"] or "") in error.value.message
    return first["line"], first["column"]


def test_columns_may_be_in_any_order_with_others_between(tmp_path: Path) -> None:
    table = read("fps,Label, path ,split,note\n25,jump,a.mp4,Training,\n25,run,b.mp4,valid,x\n", tmp_path)
    assert table.rows == (ManifestRow(2, "a.mp4", "jump", "train"), ManifestRow(3, "b.mp4", "run", "val"))
    assert table.unread == ("fps", "note")


def test_the_column_group_names_what_belongs_together(tmp_path: Path) -> None:
    table = read("path,label,group\na.mp4,jump, one \nb.mp4,run,\n", tmp_path)
    assert [row.group for row in table.rows] == ["one", None]
    lines = '{"path": "a", "label": "x", "group": 7}\n{"path": "b", "label": "x", "group": null}\n'
    assert [row.group for row in read(lines, tmp_path, "manifest.jsonl").rows] == ["7", None]
    assert refused(f"path,label,group\na.mp4,jump,{'g' * 501}\n".encode(), tmp_path) == (2, "group")


def test_a_manifest_may_have_several_splits(tmp_path: Path) -> None:
    table = read("path,label,Split:1,split:K600.b\na.mp4,jump,train,\nb.mp4,run,testing,val\n", tmp_path)
    assert [(row.split, row.splits) for row in table.rows] == [
        (None, {"1": "train"}),
        (None, {"1": "test", "k600.b": "val"}),
    ]
    assert table.unread == ()
    lines = '{"path": "a", "label": "x", "split:1": "dev"}\n{"path": "b", "label": "x", "split:1": null}\n'
    assert [row.splits for row in read(lines, tmp_path, "manifest.jsonl").rows] == [{"1": "val"}, {}]


@pytest.mark.parametrize(
    ("header", "cell", "line", "column"),
    [
        ("split:1", "trian", 2, "split:1"),
        ("split:a b", "train", 2, "split:a b"),
        ("split:", "train", 2, "split:"),
        ("split:1,split:1", "train,test", 1, "split:1"),
        (",".join(f"split:{number}" for number in range(17)), ",".join(["train"] * 17), 2, "split:16"),
    ],
)
def test_a_wrong_split_column_is_named(tmp_path: Path, header: str, cell: str, line: int, column: str) -> None:
    assert refused(f"path,label,{header}\na.mp4,jump,{cell}\n", tmp_path) == (line, column)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("delimiter", "name"), [(",", "m.csv"), (";", "m.csv"), ("\t", "m.csv"), ("\t", "m.tsv")])
def test_tables_as_spreadsheet_programs_write_them(encoding: str, delimiter: str, name: str, tmp_path: Path) -> None:
    lines = ("path,label", 'a/1.mp4,"Grüße, ""laut"""', "", '"b,2.mp4",run  fast')
    text = lines[0].replace(",", delimiter) + "\r\n"
    text += f'a/1.mp4{delimiter}"Grüße, ""laut"""\r\n\r\n"b,2.mp4"{delimiter}run  fast\r\n'
    table = read(text.encode(encoding), tmp_path, name)
    assert table.rows == (ManifestRow(2, "a/1.mp4", 'Grüße, "laut"', None), ManifestRow(4, "b,2.mp4", "run fast", None))


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("", 1, "path"),
        ("path,label\n", 1, None),
        ("file,label\na,b\n", 1, "path"),
        ("path,class\na,b\n", 1, "label"),
        ("a.mp4,jump\n", 1, "path"),
        ("path,label,path\na,b,c\n", 1, "path"),
        ("path,label\na.mp4,jump\nb.mp4\n", 3, None),
        ("path,label\na.mp4,jump, high\n", 2, None),
        ("path,label\n,jump\n", 2, "path"),
        ("path,label\na.mp4, \n", 2, "label"),
        ("path,label\na.mp4," + "x" * 501 + "\n", 2, "label"),
        ("path,label,split\na.mp4,jump,train\nb.mp4,jump,learn\n", 3, "split"),
        ("path,label,split\na.mp4,jump,train\nb.mp4,jump,\n", 3, "split"),
        ('path,label\na.mp4,"jump\n', 2, None),
        ("path,label\n\na.mp4,jump\n\nb.mp4\n", 5, None),
    ],
)
def test_errors_name_line_and_column(text: str, line: int, column: str | None, tmp_path: Path) -> None:
    assert refused(text, tmp_path) == (line, column)


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("[]", None),
        ("{", None),
        ("[" * 100_000, None),
        ('{"path": "a"}', "label"),
        ('{"label": "a"}', "path"),
        ('{"path": 3, "label": "a"}', "path"),
        ('{"path": "a", "label": null}', "label"),
        ('{"path": "a", "label": true}', "label"),
        ('{"path": "a", "label": 1.5}', "label"),
        ('{"path": "a", "label": ' + "9" * 5000 + "}", None),
        ('{"path": "a", "label": "b", "split": "x"}', "split"),
        ('{"path": "a", "label": "b", "split": ["train"]}', "split"),
    ],
)
def test_errors_of_json_lines(line: str, column: str | None, tmp_path: Path) -> None:
    text = json.dumps({"path": "a", "label": "b"}) + "\n" + line
    assert refused(text, tmp_path, "manifest.jsonl") == (2, column)


def test_json_lines(tmp_path: Path) -> None:
    text = '{"path": "a", "label": 7, "more": []}\n\n{"path": "b\\ud800", "label": "\\ud800x", "split": null}\n'
    assert read(text, tmp_path, "Manifest.JSONL").rows == (
        ManifestRow(1, "a", "7", None),
        ManifestRow(3, "b\ud800", "?x", None),
    )


def test_a_wrong_encoding_names_its_line(tmp_path: Path) -> None:
    assert refused("path,label\na.mp4,jump\nb.mp4,grün\n".encode("latin-1"), tmp_path) == (3, None)


def test_many_errors_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset) as error:
        read("path,label\n" + "a.mp4\n" * 30, tmp_path)
    assert len(error.value.details["errors"]) == 20
    assert "29 more errors" in error.value.message


def test_a_huge_table_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "table").open("wb") as file:
        file.truncate(MAX_MANIFEST_BYTES + 1)
    with pytest.raises(InvalidDataset):
        read_table(tmp_path / "table", "manifest.csv")


@given(st.binary(max_size=200), st.sampled_from(["m.csv", "m.tsv", "m.jsonl"]))
@example(b"path,label\n\0,\0", "m.csv")
@example(b"path,label\ra,b\r", "m.csv")
def test_any_bytes_are_a_table_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "any-table"
    file.write_bytes(data)
    rows: tuple[ManifestRow, ...] = ()
    with suppress(InvalidDataset):
        rows = read_table(file, name).rows
    assert all(row.path and row.label == clean_label(row.label) for row in rows)


def test_the_first_twenty_errors_are_told_and_the_others_counted(tmp_path: Path) -> None:
    file = tmp_path / "manifest.csv"
    file.write_text("path,label\n" + ",x\n" * 30)
    with pytest.raises(InvalidDataset, match="29 more errors") as refused:
        read_table(file, "manifest.csv")
    assert [error["line"] for error in refused.value.details["errors"]] == list(range(2, 22))
