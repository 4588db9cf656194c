"""Reading a stream's packets by their ordinal in decode order, with a seek only where it saves time and is verified."""

from __future__ import annotations

from collections.abc import Iterator

from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from models.frames.arrays import IntArray
from worker.video.container import VideoFile

SEEK_BYTES = 1 << 18
"""Reading over a smaller gap costs less than a seek, which discards the read buffer."""


class PacketReader:
    """Reads packets by ordinal. If each packet has its own position in the file (`positions`), each seek is verified by
    it. A seek that lands too late or at an unknown position is replaced by reading from the start, so that no wrong
    frame is ever used."""

    def __init__(self, video: VideoFile, positions: IntArray | None, seek_to: IntArray, started: bool) -> None:
        """positions: byte offset of packet i, None if offsets do not identify packets; seek_to: ticks to seek to for
        packet i; started: whether packets were read from the container before."""
        self._video = video
        self._positions = positions
        self._ordinal_at = {} if positions is None else {int(p): i for i, p in enumerate(positions)}
        self._seek_to = seek_to
        self._next: int | None = None if started else 0  # ordinal of the next packet; None: unknown
        self._packets = iter(demux_packets(video))

    def between(self, first: int, last: int) -> Iterator[tuple[int, Packet[VideoStream]]]:
        """Packets first … last; fewer if the file ends before."""
        ordinal, packet = self._move_to(first)
        while packet is not None and ordinal <= last:
            if ordinal >= first:
                yield ordinal, packet
            if ordinal == last:
                return
            ordinal, packet = ordinal + 1, self._read()

    def _move_to(self, first: int) -> tuple[int, Packet[VideoStream] | None]:
        """Returns a packet at or before `first`, and its ordinal."""
        if self._next is None or self._next > first or self._worth_seeking(self._next, first):
            landed = self._seek(first)
            if landed is not None:
                return landed
            self._video.reopen()
            self._packets, self._next = iter(demux_packets(self._video)), 0
        ordinal = self._next
        return ordinal, self._read()

    def _worth_seeking(self, here: int, there: int) -> bool:
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
        except FFmpegError:  # the file ends here unexpectedly
            packet = None
        self._next = self._next + 1 if packet is not None and self._next is not None else None
        return packet


def demux_packets(video: VideoFile) -> Iterator[Packet[VideoStream]]:
    """Packets with content, from the current position on. Raises: FFmpegError where the file ends unexpectedly."""
    try:
        for packet in video.container.demux(video.stream):
            if packet.size:  # the library ends with an empty packet, which means flush
                yield packet
    except IndexError:
        # a damaged MPEG-TS has announced another stream, which PyAV's last flush does not know: this is the end, too
        return
