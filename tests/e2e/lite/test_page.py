"""The page in a real browser: what a person sees, clicks and is told."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browser import browser, keep, opened, scrolls_sideways, violations
from tests.e2e.stack import Stack


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as chromium:
        yield chromium


@pytest.fixture
def page(chromium: Browser, stack: Stack) -> Iterator[Page]:
    with opened(chromium, stack.url) as page:
        yield page


@pytest.fixture
def clip(bikes: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The cyclists as a video of this test's own: bytes behind the end change nothing but its id."""
    clip = tmp_path / "bikes.mp4"
    clip.write_bytes(bikes.read_bytes() + request.node.name.encode())
    return clip


def id_of(clip: Path) -> str:
    return f"vid_{hashlib.sha256(clip.read_bytes()).hexdigest()}"


def ask_about(page: Page, clip: Path) -> None:
    page.set_input_files("#file", clip)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".frames li")).to_have_count(8)
    expect(page.locator("polyline")).to_have_count(3)


def labels(page: Page) -> list[str]:
    return page.locator("#scores .row .label").all_inner_texts()


def test_upload_answer_ask_again_and_seek(page: Page, bikes: Path) -> None:
    ask_about(page, bikes)
    assert labels(page)[0] == "riding a bicycle"
    keep(page, "ask")
    assert violations(page) == []

    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url.partition('/v1')[2]}"))
    page.get_by_label("Add a label").fill("a person on two wheels")
    page.get_by_label("Add a label").press("Enter")
    expect(page.locator("#scores .row")).to_have_count(4)
    expect(page.locator("polyline")).to_have_count(4)
    assert asked
    assert not any("/frames" in each for each in asked)  # other labels change nothing about them
    assert all("/classify" not in each or each.startswith("POST /videos/vid_") for each in asked)

    expect(page.locator("#player")).not_to_have_js_property("readyState", 0)
    page.locator("svg").first.click()  # in the middle
    middle = page.evaluate("document.querySelector('video').currentTime / document.querySelector('video').duration")
    assert middle == pytest.approx(0.5, abs=0.02)
    page.locator(".frames button").first.click()
    assert page.evaluate("document.querySelector('video').currentTime") < 1
    page.locator(".segments button").first.click()
    assert page.evaluate("document.activeElement.tagName") == "VIDEO"


def test_an_answer_is_confirmed_with_one_click(page: Page, http: httpx2.Client, clip: Path) -> None:
    ask_about(page, clip)
    page.get_by_role("button", name="The video shows riding a bicycle").click()
    expect(page.get_by_role("status")).to_contain_text("Noted: the video shows “riding a bicycle”")
    (said,) = http.get("/v1/feedback", params={"video": id_of(clip)}).json()["data"]
    assert (said["label"], said["confirmed"]) == ("riding a bicycle", True)


def test_an_expired_video_is_sent_again_by_itself(page: Page, http: httpx2.Client, clip: Path) -> None:
    ask_about(page, clip)
    assert http.delete(f"/v1/videos/{id_of(clip)}").status_code == 204
    page.get_by_role("button", name="Remove a cat").click()
    expect(page.locator("#scores .row")).to_have_count(2)
    expect(page.locator("#said")).to_contain_text("looked at 8 frames")
    assert http.get(f"/v1/videos/{id_of(clip)}").status_code == 200


def test_errors_are_sentences(page: Page, tmp_path: Path, bikes: Path) -> None:
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Choose a video first.")
    broken = tmp_path / "notes.mp4"
    broken.write_text("no video " * 99)
    page.set_input_files("#file", broken)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("not a video in a supported format")
    keep(page, "ask-error")
    assert violations(page) == []
    page.route("**/v1/classify", lambda route: route.abort("connectionreset"))
    page.set_input_files("#file", bikes)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("The connection to the server was lost.")
    page.unroute("**/v1/classify")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#scores .row")).to_have_count(3)


def test_a_worker_that_is_away_is_said_until_it_is_back(page: Page, stack: Stack, bikes: Path) -> None:
    worker = stack.worker("inference")
    os.kill(worker, signal.SIGSTOP)
    try:
        expect(page.get_by_role("alert")).to_contain_text("The server is not ready. No inference worker")
        page.set_input_files("#file", bikes)
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.locator("#said.bad")).to_contain_text("worker")
        keep(page, "ask-worker-away")
        assert violations(page) == []
    finally:
        os.kill(worker, signal.SIGCONT)
    expect(page.get_by_role("alert")).to_be_hidden()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#scores .row")).to_have_count(3)


def test_none_of_these_is_a_row_of_its_own(page: Page, bikes: Path) -> None:
    page.get_by_text("More options").click()
    page.get_by_label("Say “none of these” below").fill("100")
    ask_about(page, bikes)
    expect(page.locator(".none")).to_have_text("None of these.")


def test_a_stored_video_and_label_sets(page: Page, http: httpx2.Client, bikes: Path) -> None:
    stored = http.post("/v1/videos", files={"video": bikes.read_bytes()}).json()["id"]
    page.get_by_label("Stored before").check()
    expect(page.locator(f"#stored option[value={stored}]")).to_have_count(1)
    page.locator("#stored").select_option(stored)
    page.get_by_label("Save as").fill("page-labels")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Saved as page-labels, version 1.")
    page.get_by_role("button", name="Remove a cat").click()
    page.get_by_label("Load a label set").select_option("page-labels")
    expect(page.locator(".chips li")).to_have_count(3)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#scores .row")).to_have_count(3)
    http.delete("/v1/label-sets/page-labels")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it(
    chromium: Browser, stack: Stack, bikes: Path, scheme: Literal["light", "dark"]
) -> None:
    with opened(chromium, stack.url, width=360, scheme=scheme) as page:
        ask_about(page, bikes)
        keep(page, f"ask-phone-{scheme}")
        assert not scrolls_sideways(page)
        assert violations(page) == []
