"""Writes the transcripts in README.md by running their commands: `make transcripts`. `--check` compares instead, and
fails if a transcript is stale.

A transcript is a fenced block of the language `console`: lines that start with `$ ` are commands, and the lines below
each are its output. The commands run in order, in one shell, in an empty directory, against a copy of Vireo with the
model `lite`. Words after `console` are options:

    show=a,b.c  of a JSON answer, only these fields are shown; `b.c` is the field `c` of `b`
    slow        the commands take minutes; `--check` leaves them out

What differs from run to run is replaced by `…`: ids, digests, points in time, durations.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PRINTED_URL = "http://127.0.0.1:8000"
SCORE_TOLERANCE = 0.1  # another CPU rounds differently; the order of the labels must be the same
TIMEOUT = 600.0  # seconds for all commands

_FENCE = re.compile(r"^```console([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "\x01end\x01"  # printed after each command, followed by its exit status
_NUMBER = r"\d+\.\d+(?:e-\d+)?%?"
_WIDTH = 100  # columns of the terminal


class CommandFailed(Exception):
    """A command of a transcript ended with another status than 0."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """One transcript: its text between the fences, and the words behind `console`."""

    options: tuple[str, ...]
    text: str

    @property
    def is_slow(self) -> bool:
        return "slow" in self.options

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of a JSON answer that are shown; empty for all."""
        return next((tuple(o.removeprefix("show=").split(",")) for o in self.options if o.startswith("show=")), ())

    @property
    def commands(self) -> list[str]:
        """The commands as typed, without `$ `; a line that ends with a backslash continues on the next."""
        commands: list[str] = []
        continues = False
        for line in self.text.splitlines():
            if continues:
                commands[-1] += f"\n{line}"
            elif line.startswith("$ "):
                commands.append(line.removeprefix("$ "))
            continues = (continues or line.startswith("$ ")) and line.endswith("\\")
        return commands


def transcripts(page: str) -> list[Transcript]:
    """The transcripts of a page, in order."""
    return [_transcript(match) for match in _FENCE.finditer(page)]


def _transcript(match: re.Match[str]) -> Transcript:
    return Transcript(tuple(match[1].split()), match[2])


def replay(page: str, url: str, *, slow: bool) -> str:
    """The page with fresh outputs. `url`: a running copy of Vireo; `slow`: whether to run the slow transcripts too.

    Raises: CommandFailed.
    """
    wanted = [transcript for transcript in transcripts(page) if slow or not transcript.is_slow]
    outputs = iter(run_commands([command for transcript in wanted for command in transcript.commands], url))
    fresh = {
        transcript: "".join(
            f"$ {command}\n{present(next(outputs), transcript.fields)}" for command in transcript.commands
        )
        for transcript in wanted
    }

    def replace(match: re.Match[str]) -> str:
        transcript = _transcript(match)
        return f"```console{match[1]}\n{fresh.get(transcript, transcript.text)}```"

    return _FENCE.sub(replace, page)


def run_commands(commands: Sequence[str], url: str) -> list[str]:
    """What each command prints, all in one shell in an empty directory. Raises: CommandFailed."""
    lines = [f"{{ {command.replace(PRINTED_URL, url)}\n}} 2>&1; echo '{_END}'$?" for command in commands]
    installation = Path(sys.executable).parent.parent
    path = [entry for entry in os.environ["PATH"].split(os.pathsep) if Path(entry) != installation / "bin"]
    environment = os.environ | {
        "PATH": os.pathsep.join(path),
        "VIREO_PORT": url.rpartition(":")[2],
        "COLUMNS": str(_WIDTH),
    }
    with tempfile.TemporaryDirectory(prefix="vireo-transcripts-") as directory:
        (Path(directory) / ".venv").symlink_to(installation)
        (Path(directory) / "examples").symlink_to(ROOT / "examples")
        shell = subprocess.run(
            ["/bin/bash", "-c", "\n".join(lines)],
            stdin=subprocess.DEVNULL,
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT,
            check=True,
        )
    outputs = re.split(rf"{_END}(\d+)\n", shell.stdout)[:-1]
    for command, output, status in zip(commands, outputs[::2], outputs[1::2], strict=True):
        if status != "0":
            raise CommandFailed(f"`{command}` ended with status {status}:\n{output}")
    return [output.replace(url, PRINTED_URL) for output in outputs[::2]]


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
    text = re.sub(r"\b(job|vid|ds|req)_[0-9a-f]{16,}", r"\1_…", text)
    text = re.sub(r"\b([0-9a-f]{4})[0-9a-f]{28,}\b", r"\1…", text)
    text = re.sub(r'("\w+_at": )[\d.]+', r"\1…", text)
    return re.sub(r'"timings_ms": \{[^}]*\}', lambda match: re.sub(r": (?!0\.0\b)[\d.]+", ": …", match[0]), text)


def is_stale(printed: str, fresh: str) -> bool:
    """Whether two pages differ in more than the last digits of a number or the widths of a table."""
    old, new = (_tokens(page) for page in (printed, fresh))
    return len(old) != len(new) or not all(map(_alike, old, new))


def _tokens(page: str) -> list[str]:
    text = re.sub(r"[━─]+", "─", "\n".join(transcript.text for transcript in transcripts(page)))
    return re.findall(rf"{_NUMBER}|\d+|[^\W\d]+|[^\w\s]", text)


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
    check = parser.parse_args().check
    page = README.read_text(encoding="utf-8")
    with vireo() as url:
        fresh = replay(page, url, slow=not check)
    if not check:
        README.write_text(fresh, encoding="utf-8")
    elif is_stale(page, fresh):
        sys.exit("The transcripts in README.md are stale: run `make transcripts`.")


if __name__ == "__main__":
    main()
