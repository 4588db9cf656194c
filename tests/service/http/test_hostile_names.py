"""Ids and file names that try to be something else: a path, a header, a pattern, a page. Over real connections."""

from __future__ import annotations

import http.client
import json
import re

import pytest

from tests.service.sites import SHA, VIDEO, Site

IDS = (
    "..", "../", "..%2f", "..%2F..%2F..%2Fetc%2Fpasswd", "%2e%2e", "%2e%2e/%2e%2e/etc/passwd", "%252e%252e%252fx",
    "....//", "..%5c..%5c", "..;/", "%00", "a%00b", "%0d%0aX-Injected:%20yes", "%0a", "%c0%ae%c0%ae/", "%ff", "%u002e",
    "%", "%zz", f"vid_{SHA}%0a", f"vid_{SHA}%00", f"vid_{SHA}/../x", f"vid_{'A' * 64}", f"vid_{'a' * 65}", "*",
    "[a-z]*", "job_*", "x" * 3000, "%F0%9F%92%A3", "CON", "-", "null", "0", "1e999", "{{7*7}}", "$(id)", "`id`",
    "'%20OR%201=1--", "%3Cscript%3Ealert(1)%3C/script%3E", "__proto__", "vireo:cache:*", ":1", "@", "a:0", "a:-1",
    "a:99999999999999999999", "a:%D9%A1", "a@b@c", "a%2Fb", "%2fetc%2fpasswd", "file:%2f%2f%2fetc%2fpasswd",
    "store.json", "..%2fstore.json",
)  # fmt: skip
FILE_NAMES = (
    'a"; name="labels', "a\\", "../../../../etc/cron.d/x", "..\\..\\x.exe", "C:\\x.mp4", "/etc/passwd", "a\tb",
    "x.html",
    "<script>alert(1)</script>.mp4", "\u202egpm.exe", "é" * 300, "x" * 5000, ".", "..", "", " ", "a;b=c", "$(id).mp4",
    "%0d%0aX-Injected: yes", "CON.mp4", "a\u2028b",
)  # fmt: skip


def ask(site: Site, method: str, target: str, body: bytes = b"", **headers: str) -> http.client.HTTPResponse:
    """The answer, whose body has not been read. The target is sent as it is."""
    connection = http.client.HTTPConnection(site.url.removeprefix("http://"), timeout=10)
    connection.request(method, target, body, {"Connection": "close", **headers})
    return connection.getresponse()


def parametrised(site: Site) -> list[tuple[str, str]]:
    """Method and path of every operation with an id in its path."""
    with site.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    return [
        (method.upper(), path)
        for path, found in paths.items()
        if "{" in path
        for method in ("get", "delete")
        if method in found
    ]


def test_no_id_is_a_path_or_a_header(site: Site) -> None:
    operations = parametrised(site)
    assert len(operations) > 30
    for method, path in operations:
        for given in IDS:
            answer = ask(site, method, given.join(re.split(r"\{\w+\}", path)))
            assert 400 <= answer.status < 500, (method, path, given, answer.status)
            assert answer.getheader("X-Injected") is None
            assert json.loads(answer.read())["error"]["code"] != "internal_error"


@pytest.mark.parametrize(
    "path", ["/livez%0a", "/metrics%0a", "/v1/jobs%0a", "/%0a", "/v1/info%0A", "/livez%0d", "/livez%00"]
)
def test_a_route_has_one_spelling(site: Site, path: str) -> None:
    """A proxy that hides `/metrics` does not know others."""
    assert ask(site, "GET", path).status == 404


@pytest.mark.parametrize("name", FILE_NAMES)
def test_a_file_name_reaches_no_header_and_no_path(site: Site, name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    for disposition in (f'filename="{name}"', f'filename="{quoted}"', f"filename=a.mp4; filename*=UTF-8''{name}"):
        body = b'--b\r\nContent-Disposition: form-data; name="video"; ' + disposition.encode() + b"\r\n\r\n"
        body += VIDEO + b"\r\n--b--\r\n"
        answer = ask(site, "POST", "/v1/videos", body, **{"Content-Type": "multipart/form-data; boundary=b"})
        assert answer.status in (200, 201, 422), answer.read()
        assert answer.getheader("X-Injected") is None
        answer.read()
    assert [name for name in site.blobs() if name != SHA] == []
    content = ask(site, "GET", f"/v1/videos/vid_{SHA}/content")
    if content.status == 200:
        assert content.getheader("Content-Disposition") == f'inline; filename="vid_{SHA}"'
        assert content.getheader("Content-Type") == "video/mp4"


PAGES = {
    "HTML": b"<!doctype html><script>alert(document.domain)</script>",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "a script": b"alert(1)//",
    "an MP4 that is HTML": b"\0\0\0\x18ftypmp42<script>alert(1)</script>",
    "a GIF that is a script": b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)",
}


@pytest.mark.parametrize("kind", PAGES)
def test_a_stored_file_is_no_page(site: Site, kind: str) -> None:
    """Whatever it is, no browser runs it."""
    with site.client() as client:
        video = client.post("/v1/videos", files={"video": ("x.html", PAGES[kind], "text/html")}).json()["id"]
        answer = client.get(f"/v1/videos/{video}/content")
    assert answer.headers["content-type"].startswith(("video/", "image/gif", "application/octet-stream"))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
