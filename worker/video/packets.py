"""Reading a stream's packets by their ordinal in decode order, with a seek only where it pays and is proven right."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from worker.video.container import VideoFile

IntArray = npt.NDArray[np.int64]

SEEK_BYTES = 1 << 18
"""Reading over a smaller gap costs less than a seek, which throws the read buffer away."""


class PacketReader:
    """Hands out packets by ordinal. Where each packet has a place of its own in the file (`positions`), a seek is
    checked against it: one that lands late or nowhere known is answered by reading from the start, never by a wrong
    frame."""

    def __init__(self, video: VideoFile, positions: IntArray | None, seek_to: IntArray, started: bool) -> None:
        """positions: byte offset of packet i, None where they identify nothing; seek_to: ticks to seek to for packet i;
        started: whether packets have been read from the container before."""
        self._video = video
        self._positions = positions
        self._ordinal_at = {} if positions is None else {int(p): i for i, p in enumerate(positions)}
        self._seek_to = seek_to
        self._next: int | None = None if started else 0  # ordinal of the next packet; None: unknown
        self._packets = iter(demux_packets(video))

    def between(self, first: int, last: int) -> Iterator[tuple[int, Packet[VideoStream]]]:
        """Packets first … last; fewer where the file ends or breaks off."""
        ordinal, packet = self._go(first)
        while packet is not None and ordinal <= last:
            if ordinal >= first:
                yield ordinal, packet
            if ordinal == last:
                return
            ordinal, packet = ordinal + 1, self._read()

    def _go(self, first: int) -> tuple[int, Packet[VideoStream] | None]:
        """A packet at or before `first`, and its ordinal."""
        if self._next is None or self._next > first or self._far(self._next, first):
            landed = self._seek(first)
            if landed is not None:
                return landed
            self._video.reopen()
            self._packets, self._next = iter(demux_packets(self._video)), 0
        ordinal = self._next
        return ordinal, self._read()

    def _far(self, here: int, there: int) -> bool:
        return self._positions is not None and int(self._positions[there] - self._positions[here]) > SEEK_BYTES

    def _seek(self, first: int) -> tuple[int, Packet[VideoStream]] | None:
        if self._positions is None:
            return None
        try:
            self._video.container.seek(int(self._seek_to[first]), stream=self._video.stream)
        except FFmpegError:
            return None
        self._packets = iter(demux_packets(self._video))
        packet = self._read()
        ordinal = None if packet is None or packet.pos is None else self._ordinal_at.get(packet.pos)
        if packet is None or ordinal is None or ordinal > first:
            return None
        self._next = ordinal + 1
        return ordinal, packet

    def _read(self) -> Packet[VideoStream] | None:
        try:
            packet = next(self._packets, None)
        except FFmpegError:  # the file breaks off here
            packet = None
        self._next = self._next + 1 if packet is not None and self._next is not None else None
        return packet


def demux_packets(video: VideoFile) -> Iterator[Packet[VideoStream]]:
    """Packets with content, from where the container stands. Raises: FFmpegError where the file breaks off."""
    try:
        for packet in video.container.demux(video.stream):
            if packet.size:  # the library ends with an empty one, which means flush
                yield packet
    except IndexError:
        # a damaged MPEG-TS announced one more stream on the way, which PyAV's last flush does not know: the end, too
        return
