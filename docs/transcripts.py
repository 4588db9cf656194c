"""Writes the transcripts in README.md and docs/ by running their commands: `make transcripts`. `--check` compares
instead, and fails if a transcript is stale.

A transcript is a block of the language `console` (`docs/snippets.py`). The commands of a page run in order, in one
shell, in an empty directory, against a copy of Vireo with the model `lite`; each page has a copy of its own. What
differs from run to run is replaced by `…`: ids, digests, points in time, durations.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from snippets import FENCE, ROOT, Snippet, run, snippet, snippets

README = ROOT / "README.md"
SCORE_TOLERANCE = 0.1  # another CPU rounds differently; the order of the labels must be the same

_NUMBER = r"\d+\.\d+(?:e-\d+)?%?"


def pages() -> list[Path]:
    """The pages that have transcripts."""
    guides = [README, *sorted((ROOT / "docs").rglob("*.md"))]
    return [guide for guide in guides if transcripts(guide.read_text(encoding="utf-8"))]


def transcripts(page: str) -> list[Snippet]:
    """The transcripts of a page, in order."""
    return [found for found in snippets(page) if found.language == "console"]


def replay(
    page: str,
    url: str,
    *,
    slow: bool,
    on_path: bool = True,
    directory: Path | None = None,
    variables: Mapping[str, str] | None = None,
    models: Mapping[str, str] | None = None,
) -> str:
    """The page with fresh outputs. All its commands are run, in order: later ones may depend on earlier ones.

    `url`: a running copy of Vireo; `slow`: whether to run the slow commands too; `on_path`, `variables`: as for `run`;
    `directory`: where they are run, by default an empty one; `models`: models that take the place of those in commands.
    Raises: CommandFailed.
    """
    wanted = [found for found in snippets(page) if found.commands and (slow or not found.is_slow)]
    commands = [command for found in wanted for command in found.commands]
    for old, new in (models or {}).items():
        commands = [re.sub(rf"(?<![\w.-]){re.escape(old)}(?![\w-])", new, command) for command in commands]
    with tempfile.TemporaryDirectory(prefix="vireo-transcripts-") as empty:
        outputs = iter(run(commands, url, directory or Path(empty), variables, on_path=on_path))
    fresh = {found: _shown(found, [next(outputs) for _ in found.commands]) for found in wanted}

    def replace(match: re.Match[str]) -> str:
        found = snippet(match)
        if found.language != "console" or found not in fresh:
            return match[0]
        return f"```{match[2]}\n{fresh[found]}```"

    return FENCE.sub(replace, page)


def _shown(found: Snippet, outputs: Sequence[str]) -> str:
    """The transcript with these outputs below its commands."""
    typed = re.findall(r"^\$ .*?(?<!\\)$", found.text, re.MULTILINE | re.DOTALL)
    pairs = zip(typed, outputs, strict=True) if found.language == "console" else ()
    return "".join(f"{command}\n{present(output, found.fields)}" for command, output in pairs)


def present(output: str, fields: Sequence[str]) -> str:
    """An output as the page shows it: JSON laid out and shortened, lines without blanks at their ends, and `…` for what
    differs from run to run."""
    try:
        answer = json.loads(output)
    except ValueError:
        shown = "".join(f"{line.rstrip()}\n" for line in output.strip("\n").splitlines())
    else:
        shown = lay_out(answer, fields) + "\n"
    return mask(shown)


def lay_out(answer: Any, fields: Sequence[str], indent: str = "") -> str:
    """One field per line, and one line per element of a list of objects. `fields`: those that are shown, where `a.b` is
    the field `b` of `a`; `…` stands for the others."""
    if isinstance(answer, dict) and fields:
        names = [name for name in answer if name in {field.partition(".")[0] for field in fields}]
        inner = {name: [f.partition(".")[2] for f in fields if f.startswith(f"{name}.")] for name in names}
        lines = [f'{indent}  "{name}": {lay_out(answer[name], inner[name], f"{indent}  ")}' for name in names]
        lines += [f"{indent}  …"] if len(names) < len(answer) else []
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        lines = [f"{indent}  {json.dumps(element, ensure_ascii=False)}" for element in answer]
        return "[\n" + ",\n".join(lines) + f"\n{indent}]"
    return json.dumps(answer, ensure_ascii=False)


def mask(text: str) -> str:
    """`…` for ids, digests, points in time and durations. 0.0 stays: it says that a step was not needed."""
    text = re.sub(r"\b(job|vid|ds|req|cal|fb)_[0-9a-f]{16,}", r"\1_…", text)
    text = re.sub(r"\b([0-9a-f]{4})[0-9a-f]{28,}\b", r"\1…", text)
    text = re.sub(r'("\w+_at": )[\d.]+', r"\1…", text)
    return re.sub(r'"timings_ms": \{[^}]*\}', lambda match: re.sub(r": (?!0\.0\b)[\d.]+", ": …", match[0]), text)


def difference(printed: str, fresh: str, *, slow: bool = True) -> str:
    """What has to change in the transcripts of a page, as a diff; empty if they are fresh."""
    if not is_stale(printed, fresh, slow=slow):
        return ""
    old, new = ([line for found in transcripts(page) for line in found.text.splitlines()] for page in (printed, fresh))
    return "\n".join(difflib.unified_diff(old, new, "the page", "what its commands print", lineterm=""))


def is_stale(printed: str, fresh: str, *, slow: bool = True) -> bool:
    """Whether two pages differ in more than the last digits of a number or the widths of a table. `slow`: whether their
    slow transcripts count."""
    old, new = (_tokens(page, slow=slow) for page in (printed, fresh))
    return len(old) != len(new) or not all(map(_alike, old, new))


def _tokens(page: str, *, slow: bool) -> list[str]:
    shown = [found.text for found in transcripts(page) if slow or not found.is_slow]
    return re.findall(rf"{_NUMBER}|\d+|[^\W\d]+|[^\w\s]", re.sub(r"[━─]+", "─", "\n".join(shown)))


def _alike(old: str, new: str) -> bool:
    if old == new:
        return True
    if not re.fullmatch(_NUMBER, old) or not re.fullmatch(_NUMBER, new):
        return False
    if old.endswith("%") != new.endswith("%"):
        return False
    unit = 100 if old.endswith("%") else 1
    return abs(float(old.rstrip("%")) - float(new.rstrip("%"))) <= SCORE_TOLERANCE * unit


@contextmanager
def vireo() -> Iterator[str]:
    """The address of a copy of Vireo that runs as long as the `with` block."""
    sys.path.insert(0, str(ROOT))
    from tests.e2e.stack import running  # here: only this script needs the repository's root on the path

    with tempfile.TemporaryDirectory(prefix="vireo-") as directory, running(Path(directory) / "data") as stack:
        yield stack.url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a transcript is stale")
    parser.add_argument("pages", nargs="*", type=Path, help="default: all pages with transcripts")
    chosen = parser.parse_args()
    old = []
    for path in map(Path.resolve, chosen.pages or pages()):
        page = path.read_text(encoding="utf-8")
        with vireo() as url:
            fresh = replay(page, url, slow=not chosen.check, on_path=path != README)
        if not chosen.check:
            path.write_text(fresh, encoding="utf-8")
        elif is_stale(page, fresh):
            old.append(str(path.relative_to(ROOT)))
    if old:
        sys.exit(f"Transcripts are stale: run `make transcripts`. Pages: {', '.join(old)}")


if __name__ == "__main__":
    main()
