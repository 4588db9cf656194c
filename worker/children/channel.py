"""Messages between the worker, its fork server and its decode children: bytes and open files over a Unix socket.

What comes from a child is never unpickled: a decoder that an attacker has taken over may say anything.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from typing import Self

_LENGTH = struct.Struct("!I")
_CHUNK_BYTES = 1 << 16
_MAX_FILES = 3  # of one message


class ChannelClosed(Exception):
    """The other process has ended, or it broke the rules of the channel."""


class Channel:
    """One end of a pair. It belongs to one thread at a time."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @classmethod
    def pair(cls) -> tuple[Self, socket.socket]:
        """This process's end, and the socket for the other process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls(ours), theirs

    def send(self, data: bytes, files: tuple[int, ...] = ()) -> None:
        """`files`: descriptors, of which the receiver gets copies. Raises: ChannelClosed."""
        message = _LENGTH.pack(len(data)) + data
        try:
            sent = socket.send_fds(self._end, [message], files) if files else 0
            self._end.sendall(memoryview(message)[sent:])
        except OSError as error:
            raise ChannelClosed from error

    def receive(self, max_bytes: int, deadline: float | None = None) -> bytes:
        """The next message. Open files that come with it are dropped, unread, by the kernel. deadline: of
        `time.monotonic`. Raises: ChannelClosed, TimeoutError."""
        return self._body(self._read(_LENGTH.size, deadline), max_bytes, deadline)

    def receive_with_files(self, max_bytes: int) -> tuple[bytes, list[int]]:
        """The next message and its open files, which the caller closes. Raises: ChannelClosed."""
        try:
            head, files, *_ = socket.recv_fds(self._end, _LENGTH.size, _MAX_FILES)
        except OSError as error:
            raise ChannelClosed from error
        if not head:
            raise ChannelClosed
        return self._body(head + self._read(_LENGTH.size - len(head), None), max_bytes, None), files

    @property
    def is_silent(self) -> bool:
        """False if there is something to receive, which may be the end of the other process."""
        return not self._poll(0)

    def fileno(self) -> int:
        return self._end.fileno()

    def close(self) -> None:
        self._end.close()

    def _body(self, head: bytes, max_bytes: int, deadline: float | None) -> bytes:
        (length,) = _LENGTH.unpack(head)
        if length > max_bytes:
            raise ChannelClosed
        return self._read(length, deadline)

    def _read(self, length: int, deadline: float | None) -> bytes:
        data = bytearray()
        while len(data) < length:
            if deadline is not None and not self._poll(max(deadline - time.monotonic(), 0)):
                raise TimeoutError
            try:
                chunk = self._end.recv(min(length - len(data), _CHUNK_BYTES))
            except OSError as error:
                raise ChannelClosed from error
            if not chunk:
                raise ChannelClosed
            data += chunk
        return bytes(data)

    def _poll(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._end, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


def close_all(files: list[int]) -> None:
    for file in files:
        os.close(file)
