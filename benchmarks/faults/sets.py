"""Faults as data, and what a file looks like with a fault in it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
SETS = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


class FaultError(Exception):
    """The fault cannot be put into the tree, for the reason in the message."""


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    file: str  # relative to the root of the tree
    before: str  # occurs exactly once in the file
    after: str
    tests: tuple[str, ...]  # paths that pytest takes, relative to the root

    def applied(self, root: Path) -> str:
        """The text of the file with the fault in it. Raises: FaultError."""
        path = root / self.file
        if not path.is_file():
            raise FaultError(f"there is no {self.file}")
        text = path.read_text("utf-8")
        if (count := text.count(self.before)) != 1:
            raise FaultError(f"`before` occurs {count} times in {self.file}")
        if self.before == self.after:
            raise FaultError("`before` and `after` are the same")
        if missing := [test for test in self.tests if not (root / test.split("::")[0]).exists()] or not self.tests:
            raise FaultError(f"tests are missing: {missing}")
        faulty = text.replace(self.before, self.after)
        if path.suffix == ".py":
            try:
                compile(faulty, self.file, "exec")
            except SyntaxError as error:
                raise FaultError(f"the faulty file does not compile: {error}") from error
        return faulty


def read_set(name: str) -> list[Fault]:
    """The faults of `<name>.toml`. Raises: FaultError for a name that occurs twice."""
    data = tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))
    faults = [Fault(**entry | {"tests": tuple(entry["tests"])}) for entry in data["fault"]]
    if len({fault.name for fault in faults}) < len(faults):
        raise FaultError(f"two faults of {name}.toml have the same name")
    return faults
