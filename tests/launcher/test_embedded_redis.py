from __future__ import annotations

from pathlib import Path

import pytest
import redis

from launcher import embedded_redis


def test_a_long_data_directory_gets_a_short_socket(tmp_path: Path) -> None:
    short, long = Path("/run/vireo"), tmp_path / ("x" * 120)
    assert embedded_redis.choose_socket_path(short) == short / "redis.sock"
    path = embedded_redis.choose_socket_path(long)
    assert len(str(path)) <= embedded_redis.LONGEST_SOCKET_PATH
    assert path.parent.is_dir()
    embedded_redis.remove_socket(path, long)
    assert not path.parent.exists()


def test_a_missing_server_is_an_error_that_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(embedded_redis.RedisMissing, match="VIREO_REDIS_URL"):
        embedded_redis.find_server()


def test_it_writes_an_append_only_file_and_evicts_only_caches(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    assert client.config_get("appendonly")["appendonly"] == "yes"
    assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "volatile-lru"
    assert client.config_get("port")["port"] == "0"


def test_nobody_else_reaches_it(tmp_path: Path) -> None:
    words = embedded_redis.command(Path("redis-server"), tmp_path / "redis.sock", tmp_path)
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--port"] == "0"
    assert options["--unixsocketperm"] == "700"
    assert (options["--unixsocket"], options["--dir"]) == (str(tmp_path / "redis.sock"), str(tmp_path))


def test_the_server_on_path_comes_before_the_packaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "redis-server"
    own.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert embedded_redis.find_server() == own
    monkeypatch.setenv("PATH", "/nowhere")
    assert embedded_redis.find_server().name == "redis-server"
    assert embedded_redis.find_server() != own
