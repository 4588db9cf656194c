"""The documentation as a site: every page, no dead link, nothing from other hosts, and a search that works."""

from __future__ import annotations

import http.server
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from build_site import build, pages
from playwright.sync_api import Page, TimeoutError

from tests.docs.pages import GUIDES, ROOT
from tests.e2e.browser import browser

SITE = ROOT / "build" / "site"
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}


class Parsed(HTMLParser):
    """What a page of the site points to, what it loads, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attributes if value is not None}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        self.links += [found["href"]] if tag == "a" and "href" in found else []
        self.loads += [found[LOADS[tag]]] if LOADS.get(tag) in found else []


@pytest.fixture(scope="module")
def site() -> dict[Path, Parsed]:
    """The pages of the built site."""
    assert build(ROOT) == 0
    return {path: Parsed(path) for path in SITE.rglob("*.html") if path.name != "404.html"}


@pytest.fixture(scope="module")
def address(site: dict[Path, Parsed]) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            """Tests print nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_every_guide_is_in_the_table_of_contents() -> None:
    project = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    listed = list(pages(project["nav"]))
    assert len(listed) == len(set(listed))
    assert {str(guide.relative_to(ROOT)) for guide in GUIDES} - set(listed) == set()


def test_every_link_of_the_site_leads_to_a_file_and_an_anchor(site: dict[Path, Parsed]) -> None:
    dead = []
    for path, page in site.items():
        for link in page.links + page.loads:
            address = urlsplit(link)
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            if address.scheme or address.netloc:
                continue
            other = site.get(target / "index.html" if target.is_dir() else target)
            if not target.exists() or (address.fragment and other and unquote(address.fragment) not in other.anchors):
                dead.append(f"{path.relative_to(SITE)}: {link}")
    assert len(site) >= 20
    assert dead == []


def test_no_fence_is_shown_as_text(site: dict[Path, Parsed]) -> None:
    assert [str(path) for path in site if "```" in path.read_text(encoding="utf-8")] == []


def test_a_page_names_no_file_of_another_host_as_a_part_of_it(site: dict[Path, Parsed]) -> None:
    foreign = [load for page in site.values() for load in page.loads if urlsplit(load).netloc]
    assert foreign == []


def found(page: Page, word: str, target: str) -> bool:
    """Whether the search finds a page. A key that is pressed before the site's script listens is lost."""
    page.reload()
    page.get_by_role("button", name="Search").first.click()
    page.keyboard.type(word)
    try:
        page.locator(f"dialog[open] a[href*='{target}']").filter(has_text=word).first.wait_for(timeout=5000)
    except TimeoutError:
        return False
    return True


def test_a_browser_asks_no_other_host_and_finds_a_page_by_a_word(address: str) -> None:
    with browser() as chromium:
        context = chromium.new_context(color_scheme="dark")
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for name in ("docs/api.html", "docs/training.html"):  # all pages have the same scripts and styles
            page.goto(f"{address}/{name}")
        page.goto(f"{address}/index.html")
        assert any(found(page, "calibration", "calibration.html") for _ in range(10))
        context.close()
    assert {urlsplit(url).path for url in asked} >= {"/index.html", "/docs/api.html", "/docs/training.html"}
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


@pytest.mark.parametrize(
    ("link", "status"), [("docs/b.md", 0), ("docs/c.md", 1), ("docs/b.md#b", 0), ("docs/b.md#gone", 1)]
)
def test_a_dead_link_fails_the_build(tmp_path: Path, link: str, status: int) -> None:
    (tmp_path / "zensical.toml").write_bytes((ROOT / "zensical.toml").read_bytes())
    text = (tmp_path / "zensical.toml").read_text(encoding="utf-8")
    nav, end = text.index("nav = ["), text.index("\n]\n")
    (tmp_path / "zensical.toml").write_text(
        f'{text[:nav]}nav = ["README.md", "docs/b.md"{text[end:]}', encoding="utf-8"
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "b.md").write_text("# B\n")
    (tmp_path / "README.md").write_text(f"# A\n\n[there]({link})\n")
    assert build(tmp_path) == status
