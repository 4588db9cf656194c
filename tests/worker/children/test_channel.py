"""Messages between two processes: whole, bounded in size and time, and with their open files."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from worker.children.channel import Channel, ChannelClosed, close_all


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, other = Channel.pair()
    with closing(ours), closing(Channel(other)) as theirs:
        yield ours, theirs


@pytest.mark.parametrize("size", [0, 1, 70_000])
def test_a_message_arrives_whole(ends: tuple[Channel, Channel], size: int) -> None:
    ours, theirs = ends
    message = os.urandom(size)
    sending = threading.Thread(target=ours.send, args=(message,))
    sending.start()
    assert theirs.receive(size, time.monotonic() + 20) == message
    sending.join(20)
    assert theirs.is_silent


def test_open_files_come_with_a_message(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    reader, writer = os.pipe()
    ours.send(b"take these", (reader, writer))
    message, files = theirs.receive_with_files(100)
    os.write(files[1], b"x")
    assert (message, os.read(reader, 1)) == (b"take these", b"x")
    close_all([*files, reader, writer])


def test_a_message_that_is_too_large_ends_the_talk(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    ours.send(b"12345")
    ours.send(b"12345")
    assert theirs.receive(5) == b"12345"
    with pytest.raises(ChannelClosed):
        theirs.receive(4)


@pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\0\0\x05ab"])
def test_a_deadline_ends_the_wait_for_a_message_that_does_not_come(sent: bytes) -> None:
    ours, theirs = Channel.pair()
    with closing(ours), theirs:
        theirs.sendall(sent)
        with pytest.raises(TimeoutError):
            ours.receive(10, time.monotonic() + 0.05)


@pytest.mark.parametrize("sent", [b"", b"\0\0\0\x05ab"])
def test_an_end_that_is_gone_is_said(sent: bytes) -> None:
    ours, theirs = Channel.pair()
    with closing(ours):
        theirs.sendall(sent)
        theirs.close()
        assert not ours.is_silent
        with pytest.raises(ChannelClosed):
            ours.receive(10, time.monotonic() + 20)
        with pytest.raises(ChannelClosed):
            ours.send(bytes(1 << 20))


def test_an_end_that_is_gone_has_no_files() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    theirs.close()
    with closing(Channel(ours)) as channel, pytest.raises(ChannelClosed):
        channel.receive_with_files(10)
