"""`vireo version`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from vireo.cli.console import AsJson, out, print_json


def show_version(as_json: AsJson = False) -> None:
    """Print the version of the client, and of the server if it is installed."""
    found = {}
    for distribution in ("vireo-client", "vireo-server"):
        try:
            found[distribution] = version(distribution)
        except PackageNotFoundError:
            continue
    if as_json:
        print_json(found)
        return
    for distribution, number in found.items():
        out.print(f"{distribution} {number}", highlight=False)
