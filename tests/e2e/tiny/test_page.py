"""The views "Teach" and "Labels" in a real browser: dataset → training → the new version is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browser import PATIENCE, browser, keep, opened, scrolls_sideways, violations
from tests.e2e.stack import Stack


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as chromium:
        yield chromium


@pytest.fixture
def page(chromium: Browser, stack: Stack) -> Iterator[Page]:
    with opened(chromium, stack.url) as page:
        yield page


def test_a_dataset_becomes_a_version_that_answers(page: Page, archive: Path, stack: Stack) -> None:
    page.goto(f"{stack.url}/teach")
    page.set_input_files("#archive", archive)
    page.locator("#dataset-name").fill("page-scenes")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("classes are ready")
    expect(page.locator("#findings li").first).to_be_visible()
    page.get_by_text("Look at the clips").click()
    page.get_by_role("list", name="Clips").get_by_role("button").first.click()
    expect(page.locator("#findings video")).not_to_have_js_property("readyState", 0)  # it has something to show
    page.get_by_label("Name of the model").fill("page-model")
    page.get_by_label("Start from").select_option("tiny")
    page.get_by_text("More options").click()
    page.get_by_label("Epochs").fill("4")
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.locator("#phase")).to_have_text("page-model:1 is ready.", timeout=2 * PATIENCE)
    expect(page.locator("#curves svg").first).to_be_visible()
    keep(page, "teach")
    assert violations(page) == []
    page.get_by_role("button", name="Promote page-model:1").click()
    expect(page.get_by_role("status")).to_have_text("page-model@production is version 1 now.")
    compare_and_roll_back(page)
    page.get_by_role("link", name="Try page-model:1").click()
    expect(page.locator("#which")).to_have_value("page-model:1")


def compare_and_roll_back(page: Page) -> None:
    page.get_by_label("Epochs").fill("1")
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.locator("#phase")).to_have_text("page-model:2 is ready.", timeout=2 * PATIENCE)
    model = page.locator("#versions section").filter(has=page.get_by_role("heading", name="page-model", exact=True))
    model.get_by_text("Compare two versions").click()  # other tests have made other models
    expect(model.locator("th[scope=col]")).to_have_text(["page-model:1", "page-model:2"])
    shown = model.get_by_role("row", name="top-1").get_by_role("cell")
    expect(shown).to_have_count(2)
    assert all(cell.endswith("%") for cell in shown.all_inner_texts())
    page.get_by_role("button", name="Is it better? page-model:2").click()
    expect(page.get_by_role("status").first).to_contain_text("page-model:2")
    page.get_by_role("button", name="Promote page-model:2").click()
    expect(page.locator("#said")).to_have_text("page-model@production is version 2 now.")
    page.get_by_role("button", name="Roll back to page-model:1").click()
    expect(page.locator("#said")).to_have_text("page-model@production is version 1 now.")


def test_a_run_is_cancelled_and_resumed(page: Page, stack: Stack, dataset: str) -> None:
    page.goto(f"{stack.url}/teach")
    page.get_by_label("Or choose one").select_option(dataset)
    page.get_by_label("Name of the model").fill("page-long")
    page.get_by_label("Start from").select_option("tiny")
    page.get_by_text("More options").click()
    page.get_by_label("Epochs").fill("1000")
    page.get_by_role("button", name="Train", exact=True).click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#phase")).to_contain_text("cancelled")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#phase")).to_contain_text("cancelled")


def test_a_missing_dataset_is_said(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.url}/teach")
    page.get_by_label("Name of the model").fill("nothing")
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Choose a dataset first.")


def test_label_sets_are_edited_and_checked(page: Page, http: httpx2.Client, stack: Stack) -> None:
    page.goto(f"{stack.url}/labels")
    page.get_by_label("Name").fill("page-set")
    for label in ("jogging", "JumpRope"):
        page.get_by_label("Add a label").fill(label)
        page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("button", name="Check the labels").click()
    expect(page.locator("#findings li").first).to_contain_text("JumpRope")
    expect(page.locator("#findings img")).to_be_visible()
    keep(page, "labels")
    assert violations(page) == []
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("Saved as page-set, version 1.")
    page.get_by_role("button", name="Remove JumpRope").click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("Saved as page-set, version 2.")
    page.get_by_label("Version").select_option("1")
    expect(page.locator(".chips li")).to_have_count(2)
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_have_text("page-set is deleted.")
    assert http.get("/v1/label-sets/page-set").status_code == 404


@pytest.mark.parametrize("view", ["teach", "labels"])
def test_a_phone_shows_all_of_it(chromium: Browser, stack: Stack, view: str) -> None:
    with opened(chromium, f"{stack.url}/{view}", width=360, scheme="dark") as page:
        expect(page.locator("#said")).to_be_attached()
        keep(page, f"{view}-phone")
        assert not scrolls_sideways(page)
        assert violations(page) == []
