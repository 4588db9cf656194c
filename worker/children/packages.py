"""The versions of installed packages, for the card of a model version."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib import metadata


def installed_packages(names: Iterable[str]) -> dict[str, str]:
    """Name → version, of Python and of each of the distributions `names` that is installed."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # an optional dependency, or Vireo itself run from its sources
            continue
    return found
