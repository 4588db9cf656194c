"""One video stream's decoder, fed with the packets of a run. Damage is counted, not raised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import av.error
from av.codec.context import CodecContext, ThreadType
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from worker.video.container import VideoFile, codec_name, describe_error
from worker.video.packets import PacketReader
from worker.video.timeline import PacketRun

_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # the default VP8 and VP9 decoders ignore the alpha plane


class Decoder:
    """Raises: UndecodableVideo where the codec refuses the stream as a whole, MemoryError at the process's limit."""

    def __init__(self, video: VideoFile, packets: PacketReader, threads: int = 1) -> None:
        self._packets = packets
        self._codec = _codec(video, threads)
        self.damaged = 0  # packets that the codec refused
        self.decoded = 0  # frames that came out
        try:
            self._codec.open(strict=False)
        except av.error.FFmpegError as error:
            raise video.undecodable(f"its decoder cannot start: {describe_error(error)}", "decoder_refused") from error

    def frames(self, run: PacketRun, everything: bool = False) -> Iterator[VideoFrame]:
        """What comes out for the run, in display order; at least the wanted frames, where they are intact.

        everything: B-frames that nobody wants and no other frame leans on are decoded too.
        """
        wanted = frozenset(run.wanted)
        try:
            for ordinal, packet in self._packets.between(run.first, run.last):
                self._skip("DEFAULT" if everything or ordinal in wanted else "NONREF")
                yield from self._send(packet)
            yield from self._send(None)  # what the codec held back to sort for display
        finally:
            self._codec.flush_buffers()

    def _skip(self, what: Literal["DEFAULT", "NONREF"]) -> None:
        if self._codec.skip_frame != what:
            self._codec.skip_frame = what

    def _send(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        try:
            frames = self._codec.decode(packet)
        except av.error.MemoryError as error:
            raise MemoryError from error
        except av.error.FFmpegError:
            self.damaged += packet is not None
            return []
        self.decoded += len(frames)
        return frames


def _codec(video: VideoFile, threads: int) -> VideoCodecContext:
    codec: VideoCodecContext = video.stream.codec_context
    name = _WITH_ALPHA.get(codec_name(video.stream))
    if name and video.stream.metadata.get("alpha_mode") == "1":
        with_alpha = CodecContext.create(name, "r")
        assert isinstance(with_alpha, VideoCodecContext)
        with_alpha.extradata = codec.extradata
        codec = with_alpha
    codec.thread_count = threads
    codec.thread_type = ThreadType.AUTO if threads > 1 else ThreadType.NONE
    # A frame that grows mid-stream is refused before it is allocated; twice, because codecs round sizes up.
    codec.options = {"max_pixels": str(2 * video.limits.max_pixels)}
    return codec
