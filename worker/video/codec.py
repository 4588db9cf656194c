"""The decoder of one video stream. It decodes runs of packets; damaged packets are counted and raise no error."""

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

_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # the default VP8 and VP9 decoders ignore the alpha plane


class Decoder:
    """Raises: UndecodableVideo if the codec refuses the whole stream, MemoryError at the process's memory limit."""

    def __init__(self, video: VideoFile, packets: PacketReader, threads: int = 1) -> None:
        self._packets = packets
        self._codec = _codec(video, threads)
        self.damaged = 0  # packets that the codec refused
        self.decoded = 0  # frames that the codec returned
        try:
            self._codec.open(strict=False)
        except av.error.FFmpegError as error:
            raise video.undecodable(f"its decoder cannot start: {describe_error(error)}", "decoder_refused") from error

    def frames(self, run: PacketRun, everything: bool = False) -> Iterator[VideoFrame]:
        """The decoded frames of the run, in display order, with all wanted frames that are intact.

        everything: also decode B-frames that are not wanted and that no other frame references.
        """
        wanted = frozenset(run.wanted)
        try:
            for ordinal, packet in self._packets.between(run.first, run.last):
                self._set_skip_frame("DEFAULT" if everything or ordinal in wanted else "NONREF")
                yield from self._send(packet)
            yield from self._send(None)  # the frames that the codec held back to sort them for display
        finally:
            self._codec.flush_buffers()

    def _set_skip_frame(self, what: Literal["DEFAULT", "NONREF"]) -> None:
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
    name = _ALPHA_DECODERS.get(codec_name(video.stream))
    if name and video.stream.metadata.get("alpha_mode") == "1":
        with_alpha = CodecContext.create(name, "r")
        assert isinstance(with_alpha, VideoCodecContext)
        with_alpha.extradata = codec.extradata
        codec = with_alpha
    codec.thread_count = threads
    codec.thread_type = ThreadType.AUTO if threads > 1 else ThreadType.NONE
    # A frame that grows mid-stream is refused before it is allocated. The factor 2: codecs round sizes up.
    codec.options = {"max_pixels": str(2 * video.limits.max_pixels)}
    return codec
