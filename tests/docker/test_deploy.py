"""The compose file, the Dockerfile and what Prometheus scrapes, checked without a container engine: their schemas, and
the settings and imports that they name."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from core.settings import Settings
from core.state.queues import TASKS
from worker.training.job.child_process import GRACE_SECONDS

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "docker" / "Dockerfile"

# The images fix these settings, because the compose file relies on their values.
FIXED = {"VIREO_HOST", "VIREO_PORT", "VIREO_DATA_DIR", "VIREO_METRICS_PORT"}
WORKERS = ["worker", "trainer", "datasets", "worker-gpu", "trainer-gpu"]


def load(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(path.read_text())
    return data


def run_tool(name: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a checker of the extra `dev`, from this environment or from PATH."""
    tool = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert tool, f"{name} is not installed (it is in the extra `dev`)"
    return subprocess.run([tool, *args], cwd=ROOT, capture_output=True, text=True, timeout=60)


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SERVICES: dict[str, dict[str, Any]] = load(COMPOSE)["services"]


# the compose file


def test_compose_file_fits_the_compose_schema() -> None:
    done = run_tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE))
    assert done.returncode == 0, done.stdout


def test_compose_passes_on_all_settings_and_no_other() -> None:
    settings = {f"VIREO_{name.upper()}" for name in Settings.model_fields}
    variables = set(load(COMPOSE)["x-settings"])
    variables |= set(SERVICES["gateway"]["environment"]) - {"<<"}
    passed = {name for name in variables if not name.startswith(("OTEL_", "AWS_"))}
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in variables - passed
    assert {name for name in passed if not name.endswith("_FILE")} == settings - FIXED
    assert {name.removesuffix("_FILE") for name in re.findall(r"VIREO_[A-Z_]+", COMPOSE.read_text())} <= settings


def test_secrets_can_come_from_files() -> None:
    assert {"VIREO_REDIS_URL_FILE", "VIREO_REDIS_CACHE_URL_FILE"} <= set(load(COMPOSE)["x-settings"])
    assert "VIREO_WEBHOOK_SECRET_FILE" in SERVICES["gateway"]["environment"]
    assert not {name for name in load(COMPOSE)["x-settings"] if "WEBHOOK" in name}  # no worker sends webhooks


@pytest.mark.parametrize("name", SERVICES)
def test_memory_is_limited(name: str) -> None:
    assert re.fullmatch(r"\$\{[A-Z]+_MEMORY:-\d+gb\}", SERVICES[name]["mem_limit"])


def test_every_image_has_a_name_and_one_service_that_builds_it() -> None:
    ours = {name: service for name, service in SERVICES.items() if name in ("gateway", *WORKERS)}
    images = {name: service["image"] for name, service in ours.items()}
    assert images["worker"] == images["trainer"] == images["datasets"] != images["worker-gpu"] == images["trainer-gpu"]
    assert {name for name, service in ours.items() if "build" in service} == {"gateway", "worker", "worker-gpu"}
    assert all(
        re.fullmatch(r"\$\{IMAGE_PREFIX:-\}vireo-[a-z-]+:\$\{IMAGE_TAG:-[\d.]+\}", each) for each in images.values()
    )
    assert all(f"IMAGE_TAG:-{PROJECT['project']['version']}" in image for image in images.values())


def test_only_gpu_images_have_cuda() -> None:
    builds = {name: service["build"] for name, service in SERVICES.items() if "build" in service}
    mirrors = {"PIP_INDEX_URL": None, "TORCH_INDEX_URL": None}  # from the shell
    assert builds["gateway"]["args"] == mirrors
    assert builds["worker"]["args"] == mirrors | {"TORCH_BACKEND": "cpu"}
    assert builds["worker-gpu"]["args"] == mirrors | {"TORCH_BACKEND": ""}
    assert ("ARG", "TORCH_BACKEND=cpu") in stages()["worker-build"]


CPU = "uv pip install --no-cache --no-deps {} -c constraints.txt torch torchvision"


@pytest.mark.parametrize(
    ("given", "installs"),
    [
        ({"TORCH_BACKEND": "cpu"}, [CPU.format("--torch-backend cpu"), "worker-cpu.txt"]),
        (
            {"TORCH_BACKEND": "cpu", "TORCH_INDEX_URL": "https://mirror.example/cpu", "PIP_INDEX_URL": "https://pip"},
            [CPU.format("--default-index https://mirror.example/cpu"), "worker-cpu.txt"],
        ),
        (
            {"TORCH_BACKEND": "cpu", "PIP_INDEX_URL": "https://pip"},
            [CPU.format("--torch-backend cpu --default-index https://pip"), "worker-cpu.txt"],
        ),
        ({"TORCH_BACKEND": ""}, ["worker.txt"]),
    ],
)
def test_build_arguments_say_where_torch_comes_from(tmp_path: Path, given: dict[str, str], installs: list[str]) -> None:
    """The commands of the image, with tools that only write down how they were called."""
    for tool in ("pip", "uv"):
        (tmp_path / tool).write_text(f'#!/bin/sh\necho {tool} "$@" >> {tmp_path}/called\n')
        (tmp_path / tool).chmod(0o755)
    commands = [rest for word, rest in stages()["worker-build"] if word == "RUN" and "./client" not in rest]
    for command in commands:
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", **given}
        subprocess.run(["sh", "-ec", command.replace("python -m venv /opt/vireo", ":")], env=environment, check=True)
    called = [line for line in (tmp_path / "called").read_text().splitlines() if "uv==" not in line]
    hashed = f"pip install --require-hashes --no-deps -r requirements/{installs[-1]}"
    assert [line for line in called if "uninstall" not in line] == [*installs[:-1], hashed]


@pytest.mark.parametrize("name", SERVICES)
def test_container_is_locked_down(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")


@pytest.mark.parametrize("name", ["gateway", *WORKERS])
def test_our_containers_wait_for_redis_and_share_the_store(name: str) -> None:
    service = SERVICES[name]
    assert service["depends_on"] == {"redis": {"condition": "service_healthy"}}
    assert "data:/data" in service["volumes"]
    assert "/tmp" in service["tmpfs"]


def test_services_that_others_wait_for_have_a_healthcheck() -> None:
    awaited = {other for service in SERVICES.values() for other in service.get("depends_on", {})}
    assert awaited
    assert all("healthcheck" in SERVICES[name] for name in awaited)


def test_redis_is_on_the_internal_network_and_persistent() -> None:
    redis, networks = SERVICES["redis"], load(COMPOSE)["networks"]
    assert "ports" not in redis
    assert all(networks[name]["internal"] for name in redis["networks"])
    command = redis["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "volatile-lru"
    assert "redis:/data" in redis["volumes"]


def test_published_ports_are_loopback_by_default() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    # the long form: in the short one, the colons of an IPv6 address cannot be told from the others
    published = {"host_ip": "${VIREO_HOST:-127.0.0.1}", "published": "${VIREO_PORT:-8000}", "target": 8000}
    assert ports == {
        "gateway": [published],
        "prometheus": ["127.0.0.1:${PROMETHEUS_PORT:-9090}:9090"],
        "grafana": ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"],
    }


@pytest.mark.parametrize("name", ["worker-gpu", "trainer-gpu"])
def test_gpus_are_used_only_with_the_profile(name: str) -> None:
    gpu, plain = SERVICES[name], SERVICES[name.removesuffix("-gpu")]
    assert gpu["profiles"] == ["gpu"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert gpu["environment"] == plain["environment"] | {"VIREO_DEVICE": "${VIREO_DEVICE:-cuda}"}
    assert {key for key in gpu if gpu[key] != plain.get(key)} <= {"profiles", "environment", "deploy", "image", "build"}
    assert {each for each, service in SERVICES.items() if "gpu" in service.get("profiles", [])} == {
        "worker-gpu",
        "trainer-gpu",
    }


def test_commands_of_an_operator_have_a_container_that_is_not_started() -> None:
    operator = SERVICES["operator"]
    assert (operator["profiles"], operator["entrypoint"], operator["restart"]) == (["operator"], ["vireo"], "no")
    assert operator["image"] == SERVICES["worker"]["image"]  # that of the gateway has no command `vireo`


@cache
def queue_of(name: str) -> str:
    """The queue of a worker service."""
    command = SERVICES[name].get("command") or json.loads(last_instruction("worker", "CMD"))
    assert command[0] == "vireo-worker"
    assert command[1] == "--queue"
    return str(command[2])


def test_every_queue_has_a_worker() -> None:
    assert {queue_of(name) for name in WORKERS} == set(TASKS)
    assert queue_of("trainer-gpu") == queue_of("trainer") == "training"
    built = {service["image"]: service["build"]["target"] for service in SERVICES.values() if "build" in service}
    assert all(built[SERVICES[name]["image"]] == "worker" for name in WORKERS)


@pytest.mark.parametrize("name", [name for name in WORKERS if name.startswith("trainer")])
def test_a_run_has_time_to_save_a_checkpoint(name: str) -> None:
    """Ten times as long as its child process has: the checkpoint must also reach the store."""
    seconds = re.fullmatch(r"(\d+)s", SERVICES[name]["stop_grace_period"])
    assert seconds is not None
    assert int(seconds[1]) >= 10 * GRACE_SECONDS


# the images


@cache
def stages() -> dict[str, list[tuple[str, str]]]:
    """Stage → its instructions, after those of its base stages."""
    found: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            image, _, stage = rest.split()
            current = found[stage] = list(found.get(image, [("FROM", image)]))
        else:
            current.append((word, rest))
    return found


def last_instruction(stage: str, word: str) -> str:
    return [rest for instruction, rest in stages()[stage] if instruction == word][-1]


def copied() -> list[tuple[str, str]]:
    """(stage, path) of everything copied out of the build context."""
    pairs = [(stage, shlex.split(rest)) for stage, body in stages().items() for word, rest in body if word == "COPY"]
    return [(stage, path) for stage, words in pairs if "--from" not in words[0] for path in words[:-1]]


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = run_tool("hadolint", "--failure-threshold", "style", str(DOCKERFILE))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("stage", "script", "path"), [("gateway", "vireo-gateway", "/livez"), ("worker", "vireo-worker", "/metrics")]
)
def test_image_runs_its_command_as_an_unprivileged_user(stage: str, script: str, path: str) -> None:
    assert json.loads(last_instruction(stage, "CMD"))[0] == script
    assert last_instruction(stage, "USER") == "10001:10001"
    assert last_instruction(stage, "STOPSIGNAL") == "SIGTERM"
    probe = json.loads(last_instruction(stage, "HEALTHCHECK").partition("CMD")[2])
    assert f"127.0.0.1', {last_instruction(stage, 'EXPOSE')}" in probe[-1]
    assert f"'{path}'" in probe[-1]
    compile(probe[-1], "HEALTHCHECK", "exec")


def test_images_are_pinned_and_have_no_secrets() -> None:
    images = [last_instruction(stage, "FROM") for stage in stages()]
    images += [re.sub(r"\$\{[A-Z_]+:-(.*?)\}", r"\1", service["image"]) for service in SERVICES.values()]
    for image in images:
        tag = image.partition(":")[2]
        assert re.match(r"v?\d", tag), image
    words = {word for body in stages().values() for word, _ in body}
    assert "ADD" not in words
    assert not re.search(r"(?i)\b(ARG|ENV)\b.*(password|secret|token)", DOCKERFILE.read_text())


def test_images_fix_the_settings_that_compose_relies_on() -> None:
    given = {stage: dict(re.findall(r"(VIREO_\w+)=([\w./]+)", str(stages()[stage]))) for stage in ("gateway", "worker")}
    common = {"VIREO_DATA_DIR": "/data", "VIREO_HOST": "0.0.0.0"}
    assert given["gateway"] == common | {"VIREO_PORT": last_instruction("gateway", "EXPOSE")}
    assert given["worker"] == common | {"VIREO_METRICS_PORT": last_instruction("worker", "EXPOSE")}


def test_the_build_context_has_the_copied_files_and_no_data() -> None:
    ignore = (ROOT / ".dockerignore").read_text().split("\n")
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore
    assert all((ROOT / path).exists() for path in allowed), allowed
    assert {path for _, path in copied()} - {"."} <= allowed
    rooms = {pattern.rstrip("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert rooms | {"client", "requirements"} == {path for path in allowed if (ROOT / path).is_dir()}


def test_an_image_has_the_client_only_with_its_requirements() -> None:
    client = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text())["project"]
    needed = {Requirement(line).name for line in client["dependencies"]}
    installs = {
        stage: [rest for word, rest in stages()[stage] if word == "RUN"][-1]
        for stage in ("gateway-build", "worker-build")
    }
    assert installs == {
        "gateway-build": "pip install --no-deps --no-build-isolation .",
        "worker-build": "pip install --no-deps --no-build-isolation ./client .",
    }
    assert ("RUN", "pip install --require-hashes --no-deps -r requirements/gateway.txt") in stages()["gateway-build"]
    assert needed <= {Requirement(line).name for line in PROJECT["project"]["dependencies"]}


def gateway_requirements() -> set[str]:
    lines = (ROOT / "docker" / "gateway.txt").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


# Imports every module of the gateway.
START_GATEWAY = """
import importlib, json, pkgutil, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))  # None: as if the package were not installed
import core, service
for room in (core, service):
    for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
import httptools, uvloop
"""


def test_the_gateway_image_has_all_imports_of_the_gateway_and_no_torch() -> None:
    wanted = gateway_requirements()
    extras = PROJECT["project"]["optional-dependencies"]
    more = [*extras["s3"], *extras["otel"]]
    named = {Requirement(line).name for line in [*PROJECT["project"]["dependencies"], *more]}
    assert {Requirement(line).name for line in wanted} <= named
    assert {Requirement(line).name for line in more} <= {Requirement(line).name for line in wanted}
    held = installed_by(wanted)
    assert "torch" not in held
    rooms = {"core", "service"}
    owners = metadata.packages_distributions()
    absent = [name for name, dists in owners.items() if not held & {canonicalize_name(dist) for dist in dists}]
    lacking = json.dumps([name for name in absent if name not in rooms])
    done = subprocess.run([sys.executable, "-c", START_GATEWAY, lacking], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def installed_by(requirements: set[str]) -> set[str]:
    """Names of the distributions that pip would install, according to the metadata of the installed ones."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in requirements]
    while waiting:
        wanted = waiting.pop()
        found.add(canonicalize_name(wanted.name))
        needs = [Requirement(line) for line in metadata.requires(wanted.name) or []]
        extras = wanted.extras or {""}
        chosen = [n for n in needs if not n.marker or any(n.marker.evaluate({"extra": extra}) for extra in extras)]
        waiting += [n for n in chosen if canonicalize_name(n.name) not in found]
    return found


# Prometheus


def test_prometheus_scrapes_the_exposed_ports() -> None:
    config = load(ROOT / "docker" / "prometheus.yml")
    assert config["rule_files"] == ["rules.yml", "alerts.yml"]
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert jobs["gateway"]["static_configs"] == [{"targets": [f"gateway:{last_instruction('gateway', 'EXPOSE')}"]}]
    scraped: list[str] = []
    for name in ("worker", "trainer", "datasets"):
        (found,) = jobs[name]["dns_sd_configs"]
        assert found["port"] == int(last_instruction("worker", "EXPOSE"))
        assert {queue_of(each) for each in found["names"]} == {queue_of(name)}
        scraped += found["names"]
    assert sorted(scraped) == sorted(WORKERS)


def test_the_worker_image_has_all_requirements_of_training() -> None:
    """Its requirements are those of the project and of three extras (`make lock`). Training needs no other extra."""
    asked = set(PROJECT["project"]["dependencies"]) | set(PROJECT["project"]["optional-dependencies"]["offline"])
    named = {canonicalize_name(Requirement(line).name) for line in asked}
    assert named >= {"scikit-learn", "matplotlib", "jinja2", "transformers", "timm"}
    kept = PROJECT["tool"]["setuptools"]["package-data"]["worker.training.result"]
    folder = ROOT / "worker" / "training" / "result"
    beside = {path for path in folder.iterdir() if path.is_file() and path.suffix != ".py"}
    assert beside == {path for pattern in kept for path in folder.glob(pattern)}


def test_training_writes_to_the_volume() -> None:
    """The root is read-only: temporary files, unpacked datasets and library caches (HOME) are in the data directory."""
    environment = dict(re.findall(r"(HOME|VIREO_DATA_DIR)=([\w./]+)", str(stages()["worker"])))
    assert environment == {"HOME": "/data", "VIREO_DATA_DIR": "/data"}
    settings = Settings(data_dir=Path(environment["VIREO_DATA_DIR"]))
    assert settings.training_dir.is_relative_to("/data")
    assert settings.store_url.startswith("file:///data/")
