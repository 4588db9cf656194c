"""The users of Redis: what each may do, that the code needs no more, and the secrets that `make secrets` draws."""

from __future__ import annotations

import inspect
import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from core.state import keys, steps
from core.state.fairness import CHECK_ROOM
from launcher import embedded_redis
from tests.core.state.test_project_keys import names_of

ROOT = Path(__file__).parents[2]
MAKE_SECRETS = ROOT / "docker" / "make_secrets.py"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))

# Rooms whose scripts run as this user. `core` holds scripts of both.
ROOMS = {"gateway": ("service",), "worker": ("worker",)}


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "secrets"
    subprocess.run([sys.executable, str(MAKE_SECRETS), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def rules(secrets: Path) -> dict[str, list[str]]:
    """User → its rules."""
    lines = (secrets / "redis-users.acl").read_text(encoding="utf-8").splitlines()
    return {words[1]: words[2:] for words in map(str.split, lines) if words}


def password(secrets: Path, user: str) -> str:
    return (secrets / f"redis-url-{user}").read_text(encoding="utf-8").rpartition("@")[0].rpartition(":")[2]


# what the code needs


def known_keys() -> set[str]:
    """Every key of `core.state.keys`, with `x` for what it is about. Channels are no keys."""
    constants = {value for name, value in vars(keys).items() if name.isupper() and not name.endswith("_CHANNEL")}
    made = [value for value in vars(keys).values() if inspect.isfunction(value)]
    return constants | {make(*("x" for _ in inspect.signature(make).parameters)) for make in made}


def test_every_key_belongs_to_a_user(rules: dict[str, list[str]]) -> None:
    """If this fails: name the key in docker/redis-users.acl, for the gateway, the workers or both."""
    patterns = [rule[1:] for user in ("gateway", "worker") for rule in rules[user] if rule.startswith("~")]
    assert len(known_keys()) > 30
    assert [key for key in sorted(known_keys()) if not any(fnmatchcase(key, pattern) for pattern in patterns)] == []


@pytest.mark.parametrize("user", ["gateway", "worker"])
def test_a_user_reaches_in_every_project_what_it_reaches_in_the_default_one(
    rules: dict[str, list[str]], user: str
) -> None:
    patterns = [rule[1:] for rule in rules[user] if rule.startswith("~")]

    def reached(project: str) -> set[str]:
        keys_of = names_of(project).items()
        return {name for name, key in keys_of if any(fnmatchcase(key, pattern) for pattern in patterns)}

    # Patterns cannot tell the list of a video's feedback, which holds ids, from the video.
    assert reached("acme") - reached("default") <= {"feedback_of_video"}
    assert reached("default") <= reached("acme")
    assert {"jobs", "video", "model_versions"} <= reached("default")


@pytest.mark.parametrize("user", ["gateway", "worker"])
def test_every_command_of_a_script_is_allowed(rules: dict[str, list[str]], user: str) -> None:
    sources = [path for room in ROOMS[user] for path in (ROOT / room).rglob("*.py")]
    named = {name for path in sources for name in re.findall(r"redis\.call\('(\w+)'", path.read_text(encoding="utf-8"))}
    allowed = {rule[1:].partition("|")[0] for rule in rules[user] if rule.startswith("+")}
    assert named
    assert {name.lower() for name in named} - allowed == set()


def test_every_command_of_the_shared_scripts_is_allowed_to_somebody(rules: dict[str, list[str]]) -> None:
    """`core/backup` is of the commands, which run as the operator."""
    rooms = [room for room in (ROOT / "core").iterdir() if room.name != "backup"]
    paths = [path for room in rooms for path in (room.rglob("*.py") if room.is_dir() else [room])]
    sources = [path.read_text(encoding="utf-8") for path in paths if path.suffix == ".py"]
    named = {name.lower() for text in sources for name in re.findall(r"redis\.call\('(\w+)'", text)}
    allowed = {rule[1:].partition("|")[0] for user in ("gateway", "worker") for rule in rules[user]}
    assert named - allowed == set()


@pytest.mark.parametrize("script", [steps.CREATE, steps.WITHDRAW, steps.CANCEL, steps.RESUME, CHECK_ROOM])
def test_every_command_of_the_shared_scripts_of_the_gateway_is_allowed_to_it(
    rules: dict[str, list[str]], script: str
) -> None:
    named = {name.lower() for name in re.findall(r"redis\.call\('(\w+)'", script)}
    assert named - {rule[1:].partition("|")[0] for rule in rules["gateway"]} == set()


# what a user may not do

REFUSED = (
    "FLUSHALL", "FLUSHDB", "CONFIG GET *", "CONFIG SET dir /tmp", "SHUTDOWN NOSAVE", "SAVE", "BGSAVE",
    "REPLICAOF 127.0.0.1 1", "MODULE LIST", "ACL LIST", "ACL SETUSER gateway +@all", "CLIENT LIST", "MONITOR", "KEYS *",
    "CLIENT KILL TYPE normal", "DEBUG OBJECT x", "MIGRATE 127.0.0.1 1 x 0 10", "SWAPDB 0 1", "SLOWLOG GET",
)  # fmt: skip
REFUSED_TO_PROGRAMS = (
    *REFUSED, "SCAN 0", "RANDOMKEY", "ACL WHOAMI", "DUMP vireo:jobs", "RENAME vireo:jobs vireo:jobs:x", "GET foreign",
    "SET foreign x", "SUBSCRIBE any", "PUBLISH any x", "SCRIPT FLUSH", "SORT vireo:jobs", "EVAL return'x' 0",
)  # fmt: skip
OF_OTHERS = {
    "gateway": ("GET vireo:cache:video:x", "MGET vireo:cache:row:x", "BRPOP inference 1"),
    "worker": (
        "HGET vireo:label-set:x 1",
        "HGETALL vireo:feedback:x",
        "GET vireo:idempotency:x",
        "INFO",
        "BGREWRITEAOF",
    ),
    "health": ("GET vireo:probe", "INFO", "TIME", "EVALSHA x 0", "BGREWRITEAOF"),
    "operator": ("BGREWRITEAOF",),
}


@pytest.fixture(scope="module")
def socket(secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a Redis with these users."""
    folder = tmp_path_factory.mktemp("users")
    users = ["--aclfile", str(secrets / "redis-users.acl")]
    command = embedded_redis.command(embedded_redis.find_server(), folder / "redis.sock", folder)
    server = subprocess.Popen([*command, *users], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not (folder / "redis.sock").exists():
            assert server.poll() is None, "Redis refuses the file of its users"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield folder / "redis.sock"
    finally:
        server.terminate()
        server.wait(10)


def connected(socket: Path, secrets: Path, user: str) -> redis.Redis:
    known = "any" if user == "health" else password(secrets, user)
    return redis.Redis(unix_socket_path=str(socket), username=user, password=known)


@pytest.mark.parametrize("user", OF_OTHERS)
def test_nobody_does_what_is_not_named(socket: Path, secrets: Path, user: str) -> None:
    asked = (*(REFUSED if user == "operator" else REFUSED_TO_PROGRAMS), *OF_OTHERS[user])
    with connected(socket, secrets, user) as client:
        assert client.ping()
        assert [command for command in asked if not refused(client, command)] == []


def refused(client: redis.Redis, command: str) -> bool:
    try:
        client.execute_command(*command.split())  # type: ignore[no-untyped-call]
    except redis.exceptions.NoPermissionError:
        return True
    except redis.ResponseError:
        return False  # it was tried
    return False


@pytest.mark.parametrize(
    "login",
    [{}, {"password": "x"}, {"username": "gateway", "password": "wrong"}, {"username": "default", "password": ""}],
)
def test_nobody_comes_in_without_a_password(socket: Path, login: dict[str, Any]) -> None:
    with (
        redis.Redis(unix_socket_path=str(socket), **login) as client,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        client.execute_command("GET", "vireo:jobs")


def test_the_healthcheck_sees_that_redis_answers(socket: Path, secrets: Path) -> None:
    """Its command, with the address of this Redis. Without a user, the answer is no PONG."""
    _, command = COMPOSE["services"]["redis"]["healthcheck"]["test"]
    tool = embedded_redis.find_server().with_name("redis-cli")
    for text, expected in ((command, 0), (re.sub(r"--user \S+ --pass \S+", "", command), 1)):
        asked = text.replace("redis-cli", f"{tool} -s {socket}", 1)
        assert subprocess.run(["sh", "-c", asked], capture_output=True, check=False).returncode == expected


# the secrets


def test_secrets_are_drawn_once_and_are_closed_to_others(secrets: Path) -> None:
    before = {path.name: path.read_text(encoding="utf-8") for path in secrets.iterdir()}
    subprocess.run([sys.executable, str(MAKE_SECRETS), str(secrets)], check=True)
    assert {path.name: path.read_text(encoding="utf-8") for path in secrets.iterdir()} == before
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o444}  # containers read them
    passwords = {password(secrets, user) for user in ("gateway", "worker", "operator")}
    assert len(passwords) == 3
    assert min(map(len, passwords)) >= 40
    assert not any(each in before["redis-users.acl"] for each in passwords)


def test_a_secret_that_was_replaced_is_in_the_file_of_the_users(tmp_path: Path) -> None:
    def made() -> str:
        subprocess.run([sys.executable, str(MAKE_SECRETS), str(tmp_path)], check=True)
        return (tmp_path / "redis-users.acl").read_text(encoding="utf-8")

    first = made()
    (tmp_path / "redis-url-worker").unlink()
    changed = [
        line.split()[1] for line, old in zip(made().splitlines(), first.splitlines(), strict=True) if line != old
    ]
    assert changed == ["worker"]


def test_compose_gives_each_container_its_own_secrets(secrets: Path) -> None:
    made = {path.name for path in secrets.iterdir()}
    files = {name: secret["file"] for name, secret in COMPOSE["secrets"].items()}
    assert {path.removeprefix("./secrets/") for path in files.values()} <= made
    given = {
        name: {each if isinstance(each, str) else each["source"] for each in service.get("secrets", [])}
        for name, service in COMPOSE["services"].items()
    }
    of_workers = {"redis_url_worker"}
    assert {name: secrets for name, secrets in given.items() if secrets} == {
        "redis": {"redis_users"},
        "gateway": {"redis_url_gateway", "webhook_secret"},
        "operator": {"redis_url_operator"},
        **dict.fromkeys(("worker", "trainer", "datasets", "worker-gpu", "trainer-gpu"), of_workers),
    }
