"""The blocks of code in a page, and how they are run.

A test runs the fenced blocks of the languages `console`, `sh`, `bash` and `python`, in the order of the page and in one
shell. A line `<!-- not run: … -->` above a block says why it is not run; blocks of `json` and `http` need one always.
In a `console`, lines that start with `$ ` are commands, and the lines below each are its output. Words after it:

    show=a,b.c  of a JSON answer, only these fields are shown; `b.c` is the field `c` of `b`
    slow        the commands take minutes with the model that the page shows; tests run them with a tiny one
    refused     the commands fail: the page shows the error
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PRINTED_URL = "http://127.0.0.1:8000"
TIMEOUT = 600.0  # seconds for all commands
SHELLS = ("sh", "bash", "shell")

FENCE = re.compile(r"(?:^<!-- not run: ([^\n]+?) -->\n)?^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "\x01end\x01"  # printed after each command that succeeded
_WIDTH = 100  # columns of the terminal
_PRELUDE = """
set -eo pipefail
curl() { command curl --fail-with-body "$@"; }
"""


class CommandFailed(Exception):
    """A command of a page ended with another status than 0, or one that should be refused was not."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """One block: its language, the words behind it, its text, and why it is not run, if the page says so."""

    language: str
    options: tuple[str, ...]
    text: str
    reason: str | None = None

    @property
    def is_slow(self) -> bool:
        return "slow" in self.options

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of a JSON answer that are shown; empty for all."""
        return next((tuple(o.removeprefix("show=").split(",")) for o in self.options if o.startswith("show=")), ())

    @property
    def commands(self) -> list[str]:
        """What the shell runs: the commands of a transcript without `$ `, else the block as one command."""
        if self.reason is not None:
            return []
        if self.language == "python":
            return [f"python - <<'END_OF_PYTHON'\n{self.text}END_OF_PYTHON"]
        if self.language in SHELLS:
            return [self.text]
        return self._typed() if self.language == "console" else []

    def _typed(self) -> list[str]:
        """A line that ends with a backslash continues on the next."""
        commands: list[str] = []
        continues = False
        for line in self.text.splitlines():
            if continues:
                commands[-1] += f"\n{line}"
            elif line.startswith("$ "):
                commands.append(line.removeprefix("$ "))
            continues = (continues or line.startswith("$ ")) and line.endswith("\\")
        if "refused" not in self.options:
            return commands
        return [f"if {{ {command}\n}}; then exit 99; fi" for command in commands]


def snippet(match: re.Match[str]) -> Snippet:
    """The block that `FENCE` has found."""
    language, *options = match[2].split() or [""]
    return Snippet(language, tuple(options), match[3], match[1])


def snippets(page: str) -> list[Snippet]:
    """The blocks of a page, in order."""
    return [snippet(match) for match in FENCE.finditer(page)]


def run(
    commands: Sequence[str],
    url: str,
    directory: Path,
    variables: Mapping[str, str] | None = None,
    *,
    on_path: bool = True,
) -> list[str]:
    """What each command prints, all in one shell in `directory`, against the copy of Vireo at `url`.

    `variables`: of the shell, beside those of this process; `on_path`: whether `vireo` can be typed without its folder.
    Raises: CommandFailed.
    """
    installation = Path(sys.executable).parent.parent
    own = str(installation / "bin")
    others = [entry for entry in os.environ["PATH"].split(os.pathsep) if entry != own]
    environment = os.environ | {
        "PATH": os.pathsep.join([own, *others] if on_path else others),
        "VIREO_PORT": url.rpartition(":")[2],
        "VIREO_URL": url,
        "COLUMNS": str(_WIDTH),
    }
    for name in (".venv", "examples"):
        if not (directory / name).exists():
            (directory / name).symlink_to(installation if name == ".venv" else ROOT / name)
    lines = [f"{{ {command.replace(PRINTED_URL, url)}\n}} 2>&1; echo '{_END}'" for command in commands]
    shell = subprocess.run(
        ["/bin/bash", "-c", "\n".join([_PRELUDE, *lines])],
        stdin=subprocess.DEVNULL,
        cwd=directory,
        env=environment | dict(variables or {}),
        stdout=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT,
    )
    *outputs, rest = shell.stdout.split(f"{_END}\n")
    if len(outputs) < len(commands):
        raise CommandFailed(f"`{commands[len(outputs)]}` ended with status {shell.returncode}:\n{rest}")
    return [output.replace(url, PRINTED_URL) for output in outputs]
