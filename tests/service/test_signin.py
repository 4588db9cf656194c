"""The page in a real browser, on a server that needs a key."""

from __future__ import annotations

import httpx2
import pytest
import redis
from playwright.sync_api import expect

from core.access.ring import KeyRing
from tests.e2e.browser import browser, keep, opened, violations
from tests.service.sites import Site


@pytest.mark.parametrize("view", ["/", "/teach", "/labels"])
def test_the_page_asks_for_a_key_and_remembers_it(site: Site, http: httpx2.Client, redis_url: str, view: str) -> None:
    ring = KeyRing(redis.Redis.from_url(redis_url, decode_responses=True))
    _, token = ring.create("the page", ("admin",), "default")
    with browser() as chromium, opened(chromium, f"{site.url}{view}") as page:
        dialog = page.get_by_role("dialog", name="Sign in")
        expect(dialog).to_be_visible()
        assert violations(page) == []
        keep(page, f"sign-in{view.replace('/', '-').rstrip('-')}")
        dialog.get_by_label("API key").fill("vireo_wrong")
        dialog.get_by_role("button", name="Sign in").click()
        expect(dialog.get_by_role("alert")).to_contain_text("not valid")
        dialog.get_by_label("API key").fill(f" {token} ")
        dialog.get_by_role("button", name="Sign in").click()
        expect(page.locator("#signed-in")).to_contain_text("the page, project default")
        expect(dialog).not_to_be_visible()
        assert token.secret not in page.evaluate("document.cookie")
        assert violations(page) == []
        keep(page, f"signed-in{view.replace('/', '-').rstrip('-')}")
        page.get_by_role("button", name="Sign out").click()
        expect(dialog).to_be_visible()


def test_a_server_without_keys_asks_for_none(site: Site) -> None:
    with browser() as chromium, opened(chromium, site.url) as page:
        expect(page.locator("#which")).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert page.get_by_role("dialog").count() == 0
        assert page.locator("#signed-in").count() == 0
