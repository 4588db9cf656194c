"""From inside a real decode child: what an attacker who runs code in the decoder can reach, which is nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from core.errors import VireoError
from models.frames.sampling import Views
from models.profiles.profile import Profile
from tests.clips import read_index, rendered
from worker.children.channel import Channel, ChannelClosed
from worker.children.fork_server import ForkServer
from worker.decoding.children import DecodeChild, DecodeChildren
from worker.decoding.decode_child import TAKEN, ChildLimits, ChildTask
from worker.decoding.pool import DecodePool
from worker.video.clip import DecodeRequest
from worker.video.container import VideoLimits

SECRET = "redis://:planted-secret@127.0.0.1:6379"
DONE = "it was possible: "
PROFILE = Profile("test", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 48, 48, ("{}",))

HACK = """
import os, resource, signal, socket
from core.errors import VireoError
try:
    outcome = {done!r} + repr({expression})
except (OSError, ValueError) as error:
    outcome = f"{{type(error).__name__}}: {{error.strerror if isinstance(error, OSError) else error}}"
raise VireoError(outcome)
"""


class Exploit:
    """Its pickle is Python code, which runs in the child when the child reads its task."""

    def __init__(self, expression: str) -> None:
        self.code = HACK.format(done=DONE, expression=expression)

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (self.code,)


@pytest.fixture(scope="module")
def server() -> Iterator[DecodeChildren]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VIREO_REDIS_URL", SECRET)
        server = DecodeChildren(ChildLimits(1 << 30, 0))
    yield server
    server.close()


@pytest.fixture
def child(server: DecodeChildren) -> Iterator[DecodeChild]:
    child = server.start()
    yield child
    child.end()


def attempt(child: DecodeChild, expression: str, *files: int) -> str:
    """What became of the expression in the child."""
    with pytest.raises(VireoError) as outcome:
        child.decode(Exploit(expression), files, 60.0)  # type: ignore[arg-type]
    return outcome.value.message


def next_descriptor(child: DecodeChild) -> int:
    """The number that the next open file gets in the child."""
    taken = {int(entry.name) for entry in Path(f"/proc/{child.pid}/fd").iterdir()}
    return min(set(range(64)) - taken)


def test_a_child_runs_what_it_is_told(child: DecodeChild) -> None:
    """Without this, the refusals below would prove nothing."""
    assert attempt(child, "6 * 7") == f"{DONE}42"


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX"])
def test_no_socket(child: DecodeChild, family: str) -> None:
    assert attempt(child, f"socket.socket(socket.{family})") == "PermissionError: Operation not permitted"
    assert attempt(child, "socket.socketpair()") == "PermissionError: Operation not permitted"


def test_a_socket_that_it_got_by_accident_cannot_connect(child: DecodeChild) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as ours:
        theirs, address = next_descriptor(child), listening.getsockname()
        keep = f"setattr(socket, 'kept', socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, {theirs}))"
        connect = f"{keep} or socket.kept.connect({address})"
        assert attempt(child, connect, ours.fileno()) == "PermissionError: Operation not permitted"


def test_no_secret_in_the_environment(child: DecodeChild) -> None:
    names = attempt(child, "sorted(os.environ)")
    assert "PYTHONSAFEPATH" in names
    assert "VIREO" not in names
    assert SECRET not in attempt(child, "dict(os.environ)")


def test_the_environment_that_the_kernel_keeps_has_no_secret(server: DecodeChildren, child: DecodeChild) -> None:
    """An attacker reads memory, where the block that the process began with stays whatever Python deletes."""
    for pid in (child.pid, server.server_pid):
        block = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"PYTHONSAFEPATH" in block
        assert b"VIREO" not in block


def test_no_file(child: DecodeChild, tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_text(SECRET)
    for path in (tmp_path / "appendonly.aof", "/etc/passwd", "/proc/self/environ", f"/proc/{os.getpid()}/environ"):
        assert attempt(child, f"open({str(path)!r}).read()") == "PermissionError: Operation not permitted"
    assert attempt(child, f"os.listdir({str(tmp_path)!r})").startswith(("PermissionError", "OSError"))


def test_no_new_file(child: DecodeChild, tmp_path: Path) -> None:
    assert attempt(child, f"open({str(tmp_path / 'new')!r}, 'w')") == "PermissionError: Operation not permitted"
    assert not list(tmp_path.iterdir())


def test_no_byte_into_a_file_that_is_open(child: DecodeChild, tmp_path: Path) -> None:
    with (tmp_path / "open").open("wb") as file:
        write = f"os.write({next_descriptor(child)}, b'x')"
        assert attempt(child, write, file.fileno()) == "OSError: File too large"
    assert (tmp_path / "open").read_bytes() == b""


def test_only_its_own_descriptors(child: DecodeChild) -> None:
    """Standard input, output and error, which are the null device, and the socket to the worker."""
    links = {entry.name: str(entry.readlink()) for entry in Path(f"/proc/{child.pid}/fd").iterdir()}
    assert sorted(link.split(":")[0] for link in links.values()) == ["/dev/null"] * 3 + ["socket"]


def test_no_process_and_no_program(child: DecodeChild) -> None:
    assert attempt(child, "os.fork()") == "PermissionError: Operation not permitted"
    assert attempt(child, "os.execv('/bin/true', ['true'])") == "PermissionError: Operation not permitted"
    assert attempt(child, "os.posix_spawn('/bin/true', ['true'], {})").startswith(("PermissionError", "OSError"))


def test_no_signal_to_another_process(child: DecodeChild) -> None:
    assert attempt(child, f"os.kill({os.getpid()}, 0)") == "PermissionError: Operation not permitted"


def test_no_higher_limit_even_for_root(child: DecodeChild) -> None:
    raised = attempt(child, "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))")
    assert not raised.startswith(DONE)
    status = Path(f"/proc/{child.pid}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status


def test_decoding_works(tmp_path: Path) -> None:
    with DecodePool(1, 60.0, 1 << 30, 1 << 24, 600.0) as pool:
        clip = pool.submit(rendered("h264", tmp_path), profile=PROFILE, views=Views(), frames=8).result()
    assert read_index(clip.frames[0, -1]) == 35


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense",
        b'{"report": {"info": 7}}',
        b'{"report": null}',
        b'{"error": {"code": "worker_unavailable", "message": "", "hint": null, "details": {}}}',
        b'{"error": {"code": "undecodable_video", "message": "", "hint": null, "details": {"message": "twice"}}}',
        b'{"damaged": 5}',
        b"[" * 100_000,
    ],
)
def test_an_answer_that_makes_no_sense_is_never_believed(answer: bytes) -> None:
    task = ChildTask(DecodeRequest(PROFILE, Views(), 8, VideoLimits()), None)
    ours, theirs = Channel.pair()
    with theirs, closing(ours):
        attacker = Channel(theirs)
        attacker.send(TAKEN)
        attacker.send(answer)
        with pytest.raises(ChannelClosed):
            DecodeChild(0, ours, ForkServer("", {}, 0)).decode(task, (), 5.0)
