"""The bytes of stored videos: for players, and for the pages of other sites that the operator names."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx2
import pytest

from core.storage import blob_key
from service.http.downloads import video_type
from tests.service.doubles import AnsweringWorker
from tests.service.sites import FILE, SHA, VIDEO, Site, error

ID = f"vid_{SHA}"
PATH = f"/v1/videos/{ID}/content"
STUDIO = "http://localhost:8080"


def test_a_player_gets_the_bytes_and_nothing_is_run(http: httpx2.Client) -> None:
    shown = http.post("/v1/videos", files=FILE).json()
    assert shown["links"]["content"] == PATH
    answer = http.get(PATH)
    assert (answer.status_code, answer.content) == (200, VIDEO)
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-disposition"] == f'inline; filename="{ID}"'
    assert answer.headers["accept-ranges"] == "bytes"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    part = http.get(PATH, headers={"range": "bytes=4-7"})
    assert (part.status_code, part.content, part.headers["content-type"]) == (206, b"ftyp", "video/mp4")
    assert error(http.get(PATH, headers={"range": "bytes=999-"}), 416, "range_not_satisfiable")
    head = http.head(PATH)
    assert (head.status_code, head.content, int(head.headers["content-length"])) == (200, b"", len(VIDEO))


def test_videos_that_are_not_there(http: httpx2.Client, site: Site) -> None:
    error(http.get(PATH), 404, "unknown_video")
    error(http.get("/v1/videos/vid_1/content"), 404, "unknown_video")
    http.post("/v1/videos", files=FILE)
    (site.store / blob_key(SHA)).unlink()
    error(http.get(PATH), 404, "unknown_video")


def test_watching_is_a_use(http: httpx2.Client, worker: AnsweringWorker) -> None:
    http.post("/v1/classify", data={"labels": "a"}, files=FILE)
    first = http.get(f"/v1/videos/{ID}").json()["expires_at"]
    http.get(PATH)
    assert http.get(f"/v1/videos/{ID}").json()["expires_at"] > first


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (VIDEO, "video/mp4"),
        (b"\0\0\0\x14ftypqt  ", "video/quicktime"),
        (b"\0\0\0\x08moov", "video/quicktime"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "video/webm"),
        (b"\x1aE\xdf\xa3\xa3B\x86\x81\x01B\x82\x88matroska", "video/x-matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "video/x-msvideo"),
        (b"GIF89a", "image/gif"),
        (b"OggS", "video/ogg"),
        (b"<html><script>alert(1)</script>", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_the_type_is_read_from_the_bytes(head: bytes, kind: str) -> None:
    assert video_type(head) == kind


def test_named_sites_may_play_videos_and_nothing_else(serve: Callable[..., AbstractContextManager[Site]]) -> None:
    with serve(player_origins=f"{STUDIO}, https://labels.example.org") as site, site.client() as http:
        http.post("/v1/videos", files=FILE)
        studio = {"origin": STUDIO, "sec-fetch-site": "cross-site"}
        played = http.get(PATH, headers=studio | {"range": "bytes=0-0"})
        assert (played.status_code, played.headers["access-control-allow-origin"]) == (206, STUDIO)
        assert "Origin" in played.headers["vary"]
        preflight = {"access-control-request-method": "GET", "access-control-request-headers": "range"}
        asked = http.options(PATH, headers=studio | preflight)
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, STUDIO)
        assert "Range" in asked.headers["access-control-allow-headers"]
        for path, origin in ((PATH, "https://evil.example"), (PATH, "null"), (f"/v1/videos/{ID}", STUDIO)):
            for method in ("GET", "OPTIONS"):
                other = http.request(method, path, headers=studio | preflight | {"origin": origin})
                assert not [name for name in other.headers if name.startswith("access-control-")]
        error(http.delete(f"/v1/videos/{ID}", headers=studio), 403, "cross_site_request")
