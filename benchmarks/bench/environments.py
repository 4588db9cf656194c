"""A virtual environment for each peer, made when it is first needed.

Each sees the packages of the environment that the bench runs in, by a line in a `.pth` file, and installs only what is
missing there. So all servers have the same torch, which would otherwise be there four times, and what is compared is
servers. Python does not read the `.pth` files of such a folder again, so an editable Vireo stays invisible.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

SHARED = ("torch", "torchvision", "numpy")
"""Packages that a peer must not replace."""


@dataclass(frozen=True, slots=True)
class Environment:
    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def version(self, package: str) -> str:
        code = f"from importlib.metadata import version; print(version({package!r}))"
        return subprocess.run([self.python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def make(folder: Path, packages: Sequence[str]) -> Environment:
    """The environment in `folder` with these packages (requirements of pip). It is made once."""
    made = Environment(folder)
    done = folder / "packages.txt"
    wanted = "\n".join(packages)
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return made
    print(f"making the environment {folder.name} ({', '.join(packages) or 'nothing more'})")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "shared.pth").write_text("".join(f"{path}\n" for path in _site_packages()), encoding="utf-8")
    if packages:
        pins = folder / "pins.txt"
        pins.write_text("".join(f"{name}=={metadata.version(name)}\n" for name in SHARED), encoding="utf-8")
        install: list[str | Path] = [made.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--constraint", pins, *packages], check=True)
    done.write_text(wanted, encoding="utf-8")
    return made


def _site_packages() -> list[str]:
    return [path for path in sys.path if Path(path).name == "site-packages"]
