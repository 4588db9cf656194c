"""A real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

ARTEFACTS = Path(os.environ.get("VIREO_SCREENSHOTS", "screenshots"))
"""Where screenshots are kept, to be looked at."""

PATIENCE = 120_000  # milliseconds
expect.set_options(timeout=PATIENCE)

_AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


@contextmanager
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "the tests of the page need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser, url: str, *, width: int = 1200, scheme: Literal["light", "dark"] = "light"
) -> Iterator[Page]:
    """A page in a window of its own. Fails where one of its scripts failed."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(url)
    yield page
    context.close()
    assert problems == []


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is: WCAG 2.2, levels A and AA."""
    page.evaluate(_AXE)  # not as a script of the page, which its policy forbids
    found: dict[str, Any] = page.evaluate("rules => axe.run(document, rules)", _RULES)
    return [f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in found["violations"]]


def keep(page: Page, name: str) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)


def scrolls_sideways(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))
