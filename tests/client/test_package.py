"""What the distribution `vireo-client` exports, and what it may import."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import vireo
from vireo.cli.app import build_cli

CLIENT = Path(__file__).parents[2] / "client"
SERVER = {"core", "models", "worker", "service", "launcher"}
HEAVY = {"torch", "torchvision", "numpy", "av", "PIL", "redis", "celery", "fastapi", "pydantic", "pydantic_settings"}


def imported_by(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after `code`."""
    names = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-P", "-c", f"{code}\n{names}"]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_all_names_exactly_the_public_members() -> None:
    members = {
        name for name, value in vars(vireo).items() if not name.startswith("_") and hasattr(value, "__qualname__")
    }
    assert members == set(vireo.__all__)
    assert {"AsyncClient", "Client", "VireoError"} <= members
    assert vireo.__all__ == sorted(vireo.__all__)


def test_the_client_imports_no_server_and_nothing_heavy() -> None:
    modules = sorted(path.relative_to(CLIENT) for path in (CLIENT / "vireo").rglob("*.py"))
    names = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in modules]
    assert "vireo.cli.app" in names
    found = imported_by("import " + ", ".join(names))
    assert "httpx2" in found
    assert found & (SERVER | HEAVY) == set()


def test_the_dependencies_are_those_that_are_used() -> None:
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    names = {dependency.partition(">")[0] for dependency in project["dependencies"]}
    assert names == {"anyio", "httpx2", "rich", "typer"}
    assert names <= imported_by("import vireo, vireo.cli.app")


def test_the_server_adds_its_commands() -> None:
    names = {command.name for command in build_cli().registered_commands}
    assert {"up", "doctor", "sample", "classify", "train"} <= names
