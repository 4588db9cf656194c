"""Builds the documentation as a site, into build/site: `make docs`. A link that leads nowhere fails the build.

The pages are Markdown files of the repository, which link to each other, and to sources, by relative paths. So they are
gathered in build/pages at their places in the repository, together with the files that they link to.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_OPTIONS = re.compile(r"^(```\w+) [^\n]+$", re.MULTILINE)  # of `docs/snippets.py`; the site's fences know no such words
_LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")


def pages(nav: list[Any]) -> Iterator[str]:
    """The paths of the pages of a table of contents, in order."""
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        elif isinstance(entry, dict):
            yield from pages(list(entry.values()))
        else:
            yield from pages(entry)


def linked_files(root: Path, page: Path) -> set[Path]:
    """The files of the repository that a page links to or shows, and that exist. The build finds the other links."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = {(page.parent / link).resolve() for link in _LINK.findall(text) if "://" not in link}
    return {target for target in targets if target.is_file() and target.is_relative_to(root)}


def gather(root: Path, names: list[str], folder: Path) -> None:
    """Copies the pages, and the files other than pages that they link to, to their places in the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    sources = {root / name for name in names}
    files = {file for page in sources for file in linked_files(root, page) if file.suffix != ".md"}
    for source in sources | files:
        target = folder / source.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source in sources:
            target.write_text(_OPTIONS.sub(r"\1", source.read_text(encoding="utf-8")), encoding="utf-8")
        else:
            shutil.copy(source, target)


def build(root: Path) -> int:
    """Builds the site of the repository at `root`. Returns the exit status: 1 if a link leads nowhere."""
    config = root / "zensical.toml"
    project = tomllib.loads(config.read_text(encoding="utf-8"))["project"]
    gather(root, list(pages(project["nav"])), root / project["docs_dir"])
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", str(config)]
    status = subprocess.run(command, cwd=root, env=os.environ | {"NO_COLOR": "1"}).returncode
    if status == 0:
        sys.stdout.write(
            f"The site is in {project['site_dir']}: open {project['site_dir']}/index.html. Its search needs a server:\n"
            f"  python3 -m http.server --directory {project['site_dir']}\n"
        )
    return status


if __name__ == "__main__":
    sys.exit(build(ROOT))
