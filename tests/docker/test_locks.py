"""The locks in requirements/: what is installed has a version and hashes, and both files of versions agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CLIENT = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
OURS = {"vireo-client", "vireo-server"}
LOCKS = ["run", "dev", "gateway", "worker", "worker-cpu"]
OF_TORCH = "torch|triton|cuda|nvidia"


def locked(name: str) -> dict[str, list[Requirement]]:
    """Package → its pins, of which markers choose one."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    found: dict[str, list[Requirement]] = {}
    for entry in re.split(r"\n(?=\w)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)):
        pin, *hashes = entry.replace("\\\n", " ").split("--hash=")
        assert hashes, f"{pin} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each.strip()) for each in hashes)
        requirement = Requirement(pin.strip())
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def wanted(name: str) -> list[Requirement]:
    run = [*PROJECT["dependencies"], *CLIENT["dependencies"], *EXTRAS["offline"]]
    worker = [*PROJECT["dependencies"], *EXTRAS["offline"], *EXTRAS["s3"], *EXTRAS["otel"]]
    lines = {
        "run": run,
        "dev": [*run, *(line for extra in EXTRAS.values() for line in extra)],
        "worker": worker,
        "worker-cpu": [line for line in worker if not re.match(OF_TORCH, line)],
        "gateway": [line for line in (ROOT / "docker" / "gateway.txt").read_text().splitlines() if line[0] != "#"],
    }
    return [Requirement(line) for line in lines[name]]


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_locked_within_its_bounds(name: str) -> None:
    lock = locked(name)
    assert "setuptools" in lock  # our own packages are built without an isolated environment
    for requirement in wanted(name):
        package = canonicalize_name(requirement.name)
        if package in OURS or package.startswith("vireo"):
            continue
        for pin in lock[package]:
            (version,) = (each.version for each in pin.specifier)
            assert requirement.specifier.contains(version), f"{pin}: run `make lock`"


@pytest.mark.parametrize("name", LOCKS)
def test_locks_and_constraints_name_the_same_versions(name: str) -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned: dict[str, str] = {
        canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in text.split()
    }
    for package, pins in locked(name).items():
        for pin in pins:
            assert str(pin.specifier) == f"=={pinned.get(package, str(pin.specifier)[2:])}", "run `make lock`"
    assert {name: pinned[name] for name in ("torch", "torchvision")} == {"torch": "2.15.0", "torchvision": "0.29.2"}


def test_the_image_for_cpus_has_openvino_and_all_but_torch_and_cuda() -> None:
    full, cpu = locked("worker"), locked("worker-cpu")
    assert full.keys() - cpu.keys() == {name for name in full if re.match(OF_TORCH, name)} >= {"torch", "torchvision"}
    added = cpu.keys() - full.keys()
    assert {"openvino", "nncf"} <= added <= {"openvino", "nncf", "openvino-telemetry", "ninja", "pydot", "tabulate"}
    for name in cpu.keys() & full.keys():
        assert {str(one.specifier) for one in cpu[name]} == {str(one.specifier) for one in full[name]}


def test_no_lock_names_a_server() -> None:
    assert all("://" not in path.read_text(encoding="utf-8") for path in (ROOT / "requirements").iterdir())
