"""Writes the blocks of the documentation that are rendered from the code. `--check` only names the stale ones."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rendering.block import stale, write
from rendering.blocks import BLOCKS

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status. `arguments`: those of the command line if None."""
    parser = argparse.ArgumentParser(prog="docs/render.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a block is stale")
    parser.add_argument("--root", type=Path, default=ROOT, help="repository whose pages are written or checked")
    chosen = parser.parse_args(arguments)
    if not chosen.check:
        write(chosen.root, BLOCKS)
        return 0
    found = stale(chosen.root, BLOCKS)
    for block in found:
        sys.stderr.write(f"{block} is stale.\n")
    if found:
        sys.stderr.write("Run `make docs` to render it anew.\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
