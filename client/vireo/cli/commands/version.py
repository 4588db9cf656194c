"""`vireo version`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from vireo.cli.console import out


def show_version() -> None:
    """Print the version of the client, and of the server if it is installed."""
    for distribution in ("vireo-client", "vireo-server"):
        try:
            out.print(f"{distribution} {version(distribution)}", highlight=False)
        except PackageNotFoundError:
            continue
