"""Manifests of batches: each broken line is its own error, and the others go on."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from core.batches.manifest import LONGEST_LINE, BatchItem, check_source, read_manifest
from core.batches.request import check_object_url
from core.errors import InvalidRequest, UrlNotAllowed

VIDEO = f"vid_{'a' * 64}"


def items(folder: Path, content: str | bytes) -> list[BatchItem]:
    path = folder / "manifest"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    check = partial(check_source, allowed_hosts=frozenset(), prefixes=frozenset({"s3://mine/videos"}))
    return list(read_manifest(path, check))


def errors(found: list[BatchItem]) -> list[str]:
    return [item.error["message"] if item.error else "" for item in found]


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_jsonl_and_csv_say_the_same(tmp_path: Path, start: str) -> None:
    as_json = f"""{start}{{"id": "a, b", "video_id": "{VIDEO}"}}

{{"video_url": "https://example.org/x.mp4"}}
{{"s3": "s3://mine/videos/x.mp4"}}"""
    as_csv = f'{start}id,video_id,video_url,s3,note\n"a, b",{VIDEO},,,x\n\n,,https://example.org/x.mp4,,\n,,,s3://mine/videos/x.mp4,\n'
    found = items(tmp_path, as_json)
    assert found == items(tmp_path, as_csv)
    assert [(item.index, item.id, item.source) for item in found] == [
        (0, "a, b", VIDEO),
        (1, None, "https://example.org/x.mp4"),
        (2, None, "s3://mine/videos/x.mp4"),
    ]
    assert [item.sha256 for item in found] == ["a" * 64, None, None]
    assert errors(found) == [""] * 3


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{not json", "not JSON"),
        ("[1]", "not a JSON object"),
        ("{}", "No video was given"),
        (f'{{"video_id": "{VIDEO}", "s3": "s3://mine/videos/x"}}', "video_id and s3 were given"),
        ('{"video_id": 7}', "must be text"),
        ('{"video_id": "vid_7"}', "not the id of a video"),
        ('{"video_url": "ftp://example.org/x"}', "scheme"),
        ('{"video_url": "http://127.0.0.1/x"}', "not public"),
        ('{"s3": "s3://mine/other/x.mp4"}', "under no prefix"),
        (f'{{"video_id": "{VIDEO}", "labels": []}}', "'labels' is unknown"),
        (f'{{"video_id": "{VIDEO}", "id": 7}}', "id must be text"),
        (f'{{"video_id": "{VIDEO}", "id": "\\ud800"}}', "not JSON"),
        ("[" * 5000, "not JSON"),
        (f'{{"id": "{"x" * LONGEST_LINE}"}}', "longer than"),
    ],
)
def test_a_broken_line_is_its_own_error(tmp_path: Path, line: str, words: str) -> None:
    good = f'{{"video_id": "{VIDEO}"}}'
    found = items(tmp_path, f"{good}\n{line}\n{good}\n")
    assert [item.index for item in found] == [0, 1, 2]
    first, broken, last = errors(found)
    assert (first, last) == ("", "")
    assert words in broken


def test_a_broken_row_of_a_csv_file_is_its_own_error(tmp_path: Path) -> None:
    content = f"video_id\n{VIDEO}\n{VIDEO},x\n".encode() + b"\xff\n" + f"{'x' * 200_000}\n{VIDEO}\n".encode()
    found = errors(items(tmp_path, content))
    assert (found[0], found[-1]) == ("", "")
    assert "2 cells" in found[1]
    assert all(found[1:-1])


@pytest.mark.parametrize("content", ["", "name,label\nx,y\n", "\0\0\0\0"])
def test_a_file_that_names_no_videos_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(InvalidRequest, match="neither JSONL nor a CSV"):
        items(tmp_path, content)


def test_a_header_that_is_no_csv_is_refused(tmp_path: Path) -> None:
    """Found by fuzzing: a carriage return outside of quotes."""
    with pytest.raises(InvalidRequest, match="neither JSON nor CSV"):
        items(tmp_path, "video_id,a\rb\nvid_1,\n")


@pytest.mark.parametrize(
    "url",
    [
        "s3://mine/videos2/x.mp4",
        "s3://mine/videos",
        "s3://mine/videos/../secret/x.mp4",
        "s3://mine/videos//x.mp4",
        "s3://mine/videos/x\n.mp4",
        "s3://mine",
        "file:///etc/passwd",
    ],
)
def test_an_object_outside_the_prefixes_is_refused(url: str) -> None:
    check_object_url("s3://mine/videos/deep/x.mp4", frozenset({"s3://mine/videos/"}))
    with pytest.raises(UrlNotAllowed):
        check_object_url(url, frozenset({"s3://mine/videos/"}))


def test_without_prefixes_no_object_is_read() -> None:
    with pytest.raises(UrlNotAllowed, match="VIREO_BATCH_PREFIXES is empty"):
        check_object_url("s3://mine/videos/x.mp4", frozenset())
