"""Names in the guides are names in the repository: files, modules, settings, commands and their options."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from core.settings import Settings
from rendering.commands import help_texts
from tests.docs.pages import GUIDES, ROOT, code_lines, prose
from vireo.cli.app import build_cli

ROOMS = (
    "core",
    "models",
    "worker",
    "service",
    "launcher",
    "client",
    "docs",
    "docker",
    "tests",
    "benchmarks",
    "examples",
)
GENERATED = ("benchmarks/results",)
FOREIGN_FILES = {"train.py", "train_nce.py", "worker.py", "redis.py"}  # of Text4Vis, and of a user's directory
CLIENT_VARIABLES = {"VIREO_URL", "VIREO_TOKEN"}

_PATH = re.compile(rf"(?<![\w/.<-])(?:{'|'.join(ROOMS)})/[\w./*-]*")
_MODULE = re.compile(r"\bpython3? -m ([\w.]+)")
_COMMAND = re.compile(r"(?:^|[\s/])vireo (?!-)([a-z]+)(.*)")

each_guide = pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: str(guide.relative_to(ROOT)))


def missing_paths(text: str) -> list[str]:
    """Paths from the root of the repository, and Python files by name, that do not exist."""
    named = [match.rstrip(".") for match in _PATH.findall(text)]
    bare = [span for span in code_lines(prose(text)) if re.fullmatch(r"\w+\.py", span)]
    missing = [name for name in bare if name not in FOREIGN_FILES and not any(ROOT.glob(f"[!.]*/**/{name}"))]
    return [path for path in named if not path.startswith(GENERATED) and not any(ROOT.glob(path.rstrip("/")))] + missing


def missing_tests(text: str) -> list[str]:
    """Tests, as `tests/FILE.py::test_name`, that are not defined in their file or are imported there."""
    named = re.findall(r"\b(tests/[\w/]+\.py)::(\w+)", text)
    return [f"{path}::{name}" for path, name in named if not _is_a_test(ROOT / path, name)]


def _is_a_test(path: Path, name: str) -> bool:
    return path.is_file() and bool(
        re.search(rf"^(async )?def {name}\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    )


def missing_modules(text: str) -> list[str]:
    """Modules of ours in `python -m MODULE` that cannot be run."""
    return [
        module
        for module in _MODULE.findall(text)
        if module.partition(".")[0] in ROOMS
        and not (ROOT / f"{module.replace('.', '/')}.py").is_file()
        and not (ROOT / module.replace(".", "/") / "__main__.py").is_file()
    ]


def unknown_variables(text: str) -> set[str]:
    known = {f"VIREO_{name.upper()}" for name in Settings.model_fields} | CLIENT_VARIABLES
    found = set(re.findall(r"\bVIREO_[A-Z_]*[A-Z]", text)) - known
    return {name for name in found if name.removesuffix("_FILE") not in known}  # a file that holds the value


def unknown_commands(text: str, helps: dict[str, str]) -> list[str]:
    """Commands of `vireo` in code that do not exist, and options that the command does not have."""
    unknown = []
    for name, rest in (match.groups() for line in code_lines(text) if (match := _COMMAND.search(line))):
        below = rest.split()[:1]  # `vireo labels check`: a command below another
        name = " ".join([name, *below]) if below and f"vireo {name} {below[0]}" in helps else name
        described = helps.get(f"vireo {name}")
        if described is None:
            unknown.append(f"vireo {name}")
        else:
            described += helps.get(f"vireo {name} list", "")  # what `vireo videos` means
            options = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", rest.partition("#")[0]))
            unknown += [f"vireo {name} {option}" for option in sorted(options) if option not in _options(described)]
    return unknown


def _options(described: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]*", described))


@pytest.fixture(scope="module")
def helps() -> dict[str, str]:
    return help_texts(build_cli())


@each_guide
def test_every_path_exists(guide: Path) -> None:
    assert missing_paths(guide.read_text(encoding="utf-8")) == []


@each_guide
def test_every_test_exists(guide: Path) -> None:
    assert missing_tests(guide.read_text(encoding="utf-8")) == []


def test_what_shows_a_promise_is_a_test() -> None:
    """Both pages name at least one test, or a file of tests, for each row of the tables that have such a column."""
    for page in (ROOT / "SECURITY.md", ROOT / "docs" / "reliability.md"):
        for line in rows_with_tests(page.read_text(encoding="utf-8")):
            assert re.search(r"\btests/[\w/]+", line), line


def rows_with_tests(text: str) -> list[str]:
    """The rows of the tables whose last column is `test`."""
    tables = re.findall(r"^\|.*\| test \|\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [row for table in tables for row in table.splitlines()]


@each_guide
def test_every_module_can_be_run(guide: Path) -> None:
    assert missing_modules(guide.read_text(encoding="utf-8")) == []


@each_guide
def test_every_variable_is_a_setting(guide: Path) -> None:
    assert unknown_variables(guide.read_text(encoding="utf-8")) == set()


@each_guide
def test_every_command_and_option_exists(guide: Path, helps: dict[str, str]) -> None:
    assert unknown_commands(guide.read_text(encoding="utf-8"), helps) == []


def test_every_console_script_exists() -> None:
    """`vireo-…` in a guide is a console script or a distribution."""
    projects = [tomllib.loads(path.read_text()) for path in (ROOT / "pyproject.toml", ROOT / "client/pyproject.toml")]
    known = {name for project in projects for name in (project["project"]["name"], *project["project"]["scripts"])}
    named = {
        name
        for guide in GUIDES
        for line in code_lines(guide.read_text(encoding="utf-8"))
        for name in re.findall(r"(?<![\w/-])vireo-[a-z]+\b", line)
    }
    assert named - known == set()


def test_paths_that_do_not_exist_are_found() -> None:
    text = "`core/jobs.py`, `core/errors.py`, /v1/models/my-gym, `gone.py`, `role.py`, `benchmarks/results/x.json`\n"
    assert missing_paths(text) == ["core/jobs.py", "gone.py"]
    assert missing_paths("```\npython examples/gone.py\n```\n") == ["examples/gone.py"]


def test_tests_that_do_not_exist_are_found() -> None:
    here = "tests/docs/test_names.py"
    text = f"`{here}::test_gone`, `{here}::test_every_test_exists`, `tests/no.py::test_x`"
    assert missing_tests(text) == ["tests/docs/test_names.py::test_gone", "tests/no.py::test_x"]
    assert rows_with_tests("| promise | test |\n|---|---|\n| a | b |\n\n| x | y |\n|---|---|\n| c | d |\n") == [
        "| a | b |"
    ]


def test_modules_variables_and_commands_that_do_not_exist_are_found(helps: dict[str, str]) -> None:
    assert missing_modules("`python -m worker`, `python -m benchmarks`, `python -m pip`") == ["worker"]
    assert unknown_variables("`VIREO_PORT`, VIREO_MAX_MODELS, `VIREO_`, VIREO_…") == {"VIREO_MAX_MODELS"}
    text = "`vireo bake`, a vireo sings\n```\n.venv/bin/vireo train x \\\n  --epochs 5 --speed 9\n```\n"
    assert unknown_commands(text, helps) == ["vireo bake", "vireo train --speed"]
