"""Feedback as files: exported, and imported again."""

from __future__ import annotations

import csv
import io
from typing import Any

import httpx2
import pytest

from tests.service.library import Library
from tests.service.routes.test_feedback import ID, keep, say, tell_facts
from tests.service.sites import VIDEO, Site


@pytest.fixture
def told(http: httpx2.Client, site: Site, asked: str) -> list[str]:
    """Feedback about an answer, about a part, and about a video with a URL of its own."""
    other = keep(http, 1)
    http.patch(f"/v1/videos/{other}", json={"metadata": {"url": "https://example.org/1.mp4"}})
    tell_facts(site, other, 10.0)
    say(http, job=asked, label='a "dog", brown')
    say(http, video=other, label="a horse")
    say(http, video=other, label="a cat", start=1.234, end=4.321)
    return [ID, other]


def post_file(http: httpx2.Client, data: bytes, kind: str) -> dict[str, Any]:
    answer = http.post("/v1/feedback/import", content=data, headers={"content-type": kind})
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report


def clear(http: httpx2.Client) -> None:
    for each in http.get("/v1/feedback").json()["data"]:
        http.delete(each["links"]["self"])


def content(http: httpx2.Client) -> set[tuple[Any, ...]]:
    names = ("id", "video", "start", "end", "label", "predicted", "model", "job", "confirmed")
    return {tuple(each[name] for name in names) for each in http.get("/v1/feedback").json()["data"]}


@pytest.mark.parametrize(("format", "kind"), [("csv", "text/csv"), ("label-studio", "application/json")])
def test_what_was_exported_can_be_imported(http: httpx2.Client, told: list[str], format: str, kind: str) -> None:
    exported = http.get("/v1/feedback/export", params={"format": format})
    assert exported.headers["content-type"].startswith(kind)
    assert "attachment" in exported.headers["content-disposition"]
    before = content(http)
    assert post_file(http, exported.content, kind) == {
        "imported": 0,
        "unchanged": 3,
        "skipped": 0,
        "failed": 0,
        "problems": [],
    }
    assert content(http) == before
    clear(http)
    assert post_file(http, exported.content, kind)["imported"] == 3
    assert {row[1:2] + row[4:5] for row in content(http)} == {row[1:2] + row[4:5] for row in before}
    spans = [(row[2], row[3]) for row in content(http) if row[2] is not None]
    assert spans == [pytest.approx((1.234, 4.321), abs=0.04)]  # Label Studio counts frames, 25 a second
    if format == "csv":
        assert content(http) == before


def test_an_import_takes_nothing_away(http: httpx2.Client, told: list[str]) -> None:
    """What says less than what is known, with the same label, is no news."""
    before = content(http)
    report = post_file(http, f'label,video\n"a ""dog"", brown",{ID}\n'.encode(), "text/csv")
    assert (report["imported"], report["unchanged"]) == (0, 1)
    assert content(http) == before
    assert post_file(http, f"label,video\na dog,{ID}\n".encode(), "text/csv")["imported"] == 1


def test_the_export_is_what_label_studio_reads(http: httpx2.Client, told: list[str], site: Site) -> None:
    tasks = {task["data"]["video_id"]: task for task in http.get("/v1/feedback/export").json()}
    assert set(tasks) == set(told)
    assert tasks[told[0]]["data"]["video"] == f"{site.url}/v1/videos/{told[0]}/content"
    assert http.get(tasks[told[0]]["data"]["video"]).content == VIDEO
    assert tasks[told[0]]["predictions"][0]["result"][0]["value"] == {"choices": ["a cat"]}
    assert tasks[told[1]]["data"]["video"] == "https://example.org/1.mp4"
    results = {result["type"]: result for result in tasks[told[1]]["annotations"][0]["result"]}
    assert results["choices"]["value"] == {"choices": ["a horse"]}
    assert results["timelinelabels"]["value"] == {"ranges": [{"start": 32, "end": 108}], "timelinelabels": ["a cat"]}
    assert all(result["to_name"] == "video" for result in results.values())
    one = http.get("/v1/feedback/export", params={"format": "csv", "label": "a cat"}).text
    assert [row["label"] for row in csv.DictReader(io.StringIO(one))] == ["a cat"]


def test_a_broken_statement_does_not_keep_the_others_out(http: httpx2.Client, library: Library) -> None:
    library.version("closed", 1, open_labels=False, classifier={"kind": "lda"})
    video = keep(http)
    lines = [
        "label,video,notes,model,start,end",
        f"running,{video},x,closed,,",
        f"a cat,{video},x",
        f"a cat,vid_{'0' * 64},,,,",
        f",{video},,,,",
        f"a cat,{video},,closed,,",
        f"a cat,{video},,,2,1",
        f"a cat,{video},,deleted:7,0,1",
    ]
    report = post_file(http, "\n".join(lines).encode(), "text/csv")
    assert (report["imported"], report["failed"]) == (2, 5)
    assert [(each["where"], each["code"]) for each in report["problems"]] == [
        ("line 3", "invalid_request"),
        ("line 4", "unknown_video"),
        ("line 5", "invalid_request"),
        ("line 6", "invalid_labels"),
        ("line 7", "invalid_request"),
    ]
    assert {(each["label"], each["start"]) for each in http.get("/v1/feedback").json()["data"]} == {
        ("running", None),
        ("a cat", 0.0),
    }


@pytest.mark.parametrize(
    ("kind", "data", "status"),
    [
        ("text/csv", b"", 422),
        ("text/csv", b"video,name\n", 422),
        ("text/csv", b"video,label,label\n", 422),
        ("text/csv", b"\xff\xfe", 422),
        ("application/json", b"{}", 422),
        ("application/json", b"[", 422),
        ("text/plain", b"video,label\n", 415),
        ("text/csv", b"video,label\n" + b"x" * (3 << 20), 413),
        ("text/csv", b"video,label\n" + b"a,b\n" * 10_001, 422),
        ("application/json", b"[" + b"1," * 1000 + b"1]", 422),
    ],
)
def test_files_that_cannot_be_read(http: httpx2.Client, kind: str, data: bytes, status: int) -> None:
    answer = http.post("/v1/feedback/import", content=data, headers={"content-type": kind})
    assert answer.status_code == status, answer.text
