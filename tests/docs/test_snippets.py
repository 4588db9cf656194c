"""Every block of code in the guides is run, or says why not."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from snippets import PRINTED_URL, SHELLS, CommandFailed, run, snippets

from tests.docs.pages import GUIDES, ROOT
from tests.e2e.pages import ELSEWHERE, ON_LITE, on_tiny

RUN = ("console", "python", *SHELLS)
SHOWN = ("json", "http")
OTHERS = ("", "text", "yaml", "xml")
COMMAND = re.compile(
    r"^(?:[A-Z_]+=\S+ )*(?:\$ |curl|docker|make|pip|python3?|sudo|(?:\.venv/bin/)?vireo)\b", re.MULTILINE
)


class Refusing(BaseHTTPRequestHandler):
    """Answers everything with an error and its body."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.end_headers()
        self.wfile.write(b"unknown_video\n")

    def log_message(self, format: str, *arguments: object) -> None:
        """Tests print nothing."""


def unmarked(page: str) -> list[str]:
    """The blocks that show a request or an answer, or hide commands, and do not say why they are not run."""
    blocks = [found for found in snippets(page) if found.reason is None]
    shown = [f"{found.language}: {found.text[:40]}" for found in blocks if found.language not in (*RUN, *OTHERS)]
    hidden = [found.text[:40] for found in blocks if found.language in OTHERS and COMMAND.search(found.text)]
    return shown + hidden


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: str(guide.relative_to(ROOT)))
def test_every_block_is_run_or_says_why_not(guide: Path) -> None:
    text = guide.read_text(encoding="utf-8")
    name = str(guide.relative_to(ROOT))
    if name not in (
        "client/README.md",
        "docs/cli.md",
    ):  # the first is run by a test of its own; the second is rendered help
        assert unmarked(text) == []
    if any(found.commands for found in snippets(text)):
        assert name in {*ELSEWHERE, *ON_LITE, *on_tiny()}


def test_every_fence_is_found() -> None:
    """A block that the pattern misses, such as one that is indented, would never be run."""
    for guide in GUIDES:
        text = guide.read_text(encoding="utf-8")
        assert len(re.findall(r"^ *(?:```|~~~)", text, re.MULTILINE)) == 2 * len(snippets(text)), guide


def test_blocks_without_a_reason_are_found() -> None:
    page = "```json\n{}\n```\n<!-- not run: an answer -->\n```json\n[]\n```\n"
    page += "```\nVIREO_PORT=1 make run\n```\n```\nmy-gym/01.mp4\n```\n"
    assert unmarked(page) == ["json: {}\n", "VIREO_PORT=1 make run\n"]
    assert [found.reason for found in snippets(page)] == [None, "an answer", None, None]


def test_commands_share_a_shell_and_a_directory(tmp_path: Path) -> None:
    page = "```sh\nNAME=a\ntouch $NAME\n```\n```python\nopen('b', 'w').close()\n```\n```console\n$ ls a \\\n  b\n```\n"
    commands = [command for found in snippets(page) for command in found.commands]
    assert run(commands, "http://127.0.0.1:9", tmp_path)[-1] == "a\nb\n"


@pytest.mark.parametrize(
    "block",
    [
        "sh\nfalse\ntrue",
        "sh\nfalse | cat",
        "python\nraise SystemExit(1)",
        "console refused\n$ true",
        "sh\necho $UNSET; exit 3",
    ],
)
def test_a_block_that_fails_anywhere_is_named(block: str, tmp_path: Path) -> None:
    commands = [command for found in snippets(f"```{block}\n```") for command in found.commands]
    with pytest.raises(CommandFailed, match="ended with status"):
        run([*commands, "true"], "http://127.0.0.1:9", tmp_path)


def test_a_block_with_a_reason_is_not_run() -> None:
    page = "<!-- not run: needs root -->\n```sh\nsudo reboot\n```\n<!-- not run: slow -->\n```console\n$ sleep 9\n```\n"
    assert [found.commands for found in snippets(page)] == [[], []]


def test_an_error_of_the_server_fails_a_command_unless_the_page_shows_it(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        asked = f"curl -s {PRINTED_URL}/"
        with pytest.raises(CommandFailed, match="unknown_video"):
            run([asked], url, tmp_path)
        commands = [command for found in snippets(f"```console refused\n$ {asked}\n```") for command in found.commands]
        assert run(commands, url, tmp_path) == ["unknown_video\n"]
        server.shutdown()
