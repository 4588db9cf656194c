"""Texts that are pages and scripts, shown in a real browser: on our pages, and in a report that escapes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from core.datasets import Finding
from tests.e2e.browser import browser
from tests.service.doubles import AnsweringWorker
from tests.service.library import Library
from tests.service.sites import Site

PROBE = "vireo-xss"
"""Part of the path that a script of the attacker asks for."""

TEXTS = (
    f"<img src=/{PROBE}-img onerror=\"fetch('/{PROBE}-handler')\">",
    f"<script>fetch('/{PROBE}-script')</script>",
    f"\"'><svg onload=fetch('/{PROBE}-svg')>",
    f"javascript:fetch('/{PROBE}-url')",
    f"<iframe srcdoc=\"<script>fetch('/{PROBE}-frame')</script>\"></iframe>",
    f"{{{{constructor.constructor('fetch(`/{PROBE}-template`)')()}}}}",
)
RAW = "<!doctype html><title>x</title>" + "".join(TEXTS) + f'<a id=link href="{TEXTS[3]}">go</a>'
RAW += f"<link rel=stylesheet href=/{PROBE}-css><meta http-equiv=refresh content='0;url=/{PROBE}-meta'>"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as chromium:
        yield chromium


@pytest.fixture
def asked() -> list[str]:
    """URLs that the browser has asked for."""
    return []


@pytest.fixture
def page(chromium: Browser, asked: list[str]) -> Iterator[Page]:
    context = chromium.new_context()
    page = context.new_page()
    page.on("response", lambda response: asked.append(response.url))  # a request that the policy refuses has none
    page.on("dialog", lambda dialog: asked.append(f"{PROBE}: {dialog.message}"))
    yield page
    context.close()


def attacks(asked: list[str]) -> list[str]:
    return [url for url in asked if PROBE in url]


def test_labels_and_file_names_are_shown_as_text(
    page: Page, asked: list[str], site: Site, http: httpx2.Client, worker: AnsweringWorker, tmp_path: Path
) -> None:
    http.put("/v1/label-sets/hostile", json={"labels": list(TEXTS), "description": TEXTS[0]}).raise_for_status()
    clip = tmp_path / f"<img src=x onerror=fetch(`{PROBE}`)>.mp4"
    clip.write_bytes(b"\x00\x00\x00\x18ftypmp42 not a real clip")
    page.goto(site.url)
    page.set_input_files("#file", clip)
    page.locator("#sets").select_option("hostile")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#scores .row")).to_have_count(len(TEXTS))
    assert sorted(page.locator("#scores .row .label").all_inner_texts()) == sorted(TEXTS)
    page.goto(f"{site.url}/labels")
    page.locator("#sets").select_option("hostile")
    expect(page.locator("#description")).to_have_value(TEXTS[0])
    assert attacks(asked) == []


def test_class_names_and_findings_are_shown_as_text(
    page: Page, asked: list[str], site: Site, worker: AnsweringWorker, library: Library
) -> None:
    finding = Finding(severity="warning", code="near_synonyms", message=TEXTS[0], paths=TEXTS, count=len(TEXTS))
    library.dataset(counts=dict.fromkeys(TEXTS, (3, 1)), report=(finding,))
    library.version("gym", 1, classes=TEXTS)
    page.goto(f"{site.url}/teach")
    page.locator("#dataset").select_option(index=1)
    expect(page.locator("#findings")).to_contain_text("onerror")
    page.goto(f"{site.url}/teach")
    expect(page.locator("#versions")).to_contain_text("gym")
    assert attacks(asked) == []


def test_a_report_runs_nothing_even_if_it_escaped_nothing(
    page: Page, asked: list[str], site: Site, http: httpx2.Client, library: Library
) -> None:
    """The policy of the answer is the second wall. The first is the template, which escapes (`test_report.py`)."""
    library.version("gym", 1)
    (report,) = site.store.rglob("report.html")
    report.write_text(RAW)
    page.goto(f"{site.url}/v1/models/gym/versions/1/report")
    assert page.title() == "x"
    page.wait_for_timeout(300)
    assert attacks(asked) == []


def test_a_stored_video_runs_nothing(page: Page, asked: list[str], site: Site, http: httpx2.Client) -> None:
    video = http.post("/v1/videos", files={"video": ("x.html", RAW.encode(), "text/html")}).json()["id"]
    with page.expect_download() as download:
        page.evaluate("url => { location.href = url }", f"{site.url}/v1/videos/{video}/content")
    assert download.value.suggested_filename.startswith("vid_")
    assert attacks(asked) == []


def test_an_answer_is_no_page(page: Page, asked: list[str], site: Site, http: httpx2.Client) -> None:
    """Errors repeat what was sent."""
    for path in (f"/v1/{TEXTS[1]}", f"/v1/jobs?{TEXTS[1]}=1", f"/v1/models/{TEXTS[1]}"):
        page.goto(site.url + path)
        page.wait_for_timeout(50)
    assert [url for url in attacks(asked) if f"/{PROBE}-script" in url and "/v1/" not in url] == []


def test_the_policy_of_the_pages_refuses_a_script_that_got_in(page: Page, asked: list[str], site: Site) -> None:
    page.goto(site.url)
    page.evaluate(
        """([markup, code]) => {
            document.body.insertAdjacentHTML("beforeend", markup);
            const script = document.createElement("script");
            script.textContent = code;
            document.body.append(script);
        }""",
        [f"<img src=x onerror=\"fetch('/{PROBE}-handler')\">", f"fetch('/{PROBE}-script')"],
    )
    page.wait_for_timeout(300)
    assert attacks(asked) == []
