"""Files that are hostile by design, by name. Each function writes one file."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, cast

import av
import numpy as np
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from benchmarks.hostile.boxes import audio_video_list, box, ebml, elements, png_chunk, unknown_element
from tests.clips import SPECS, ClipSpec, render, render_huge_gif, render_slow

MILLION: Final = 1_000_000
SIDE: Final = 16_384

Craft = Callable[[Path], object]


# frames that are far too large


def _large_gif(path: Path) -> None:
    render_huge_gif(path, SIDE)


def _large_apng(path: Path, side: int = SIDE, told: int | None = None) -> None:
    """1 GB of black in 1 MB of deflate. told: the side that the header tells."""
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(1 + 3 * side)) for _ in range(side)) + rows.flush()
    size = struct.pack(">II", told or side, told or side)
    control = struct.pack(">IIIIIHHBB", 0, told or side, told or side, 0, 0, 1, 25, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", size + bytes((8, 2, 0, 0, 0)))
        + png_chunk(b"acTL", struct.pack(">II", 1, 0))
        + png_chunk(b"fcTL", control)
        + png_chunk(b"IDAT", data)
        + png_chunk(b"IEND", b"")
    )


def _large_frames(path: Path, codec: str = "libx264", side: int = 8192, told: int | None = None) -> None:
    """Frames that are empty, and whose Matroska header tells another size."""
    with av.open(str(path), "w", format="matroska") as out:
        stream = cast(VideoStream, out.add_stream(codec, rate=25, options={"preset": "ultrafast", "qp": "50"}))
        stream.width, stream.height, stream.pix_fmt = side, side, "yuv420p"
        stream.codec_context.thread_count = 1
        for number in range(2):
            frame = VideoFrame(side, side, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    if told:
        data = path.read_bytes()
        for mark in (b"\xb0", b"\xba"):  # PixelWidth, PixelHeight
            data = data.replace(mark + b"\x82" + side.to_bytes(2, "big"), mark + b"\x82" + told.to_bytes(2, "big"), 1)
        path.write_bytes(data)


def _growing(path: Path) -> None:
    """64 pixels wide at first, 8192 in mid-stream."""
    small, large = path.with_suffix(".small"), path.with_suffix(".large")
    render(small, ClipSpec(".h264", format="h264", frames=4, options=SPECS["h264"].options))
    _large_frames(large)
    with av.open(str(large)) as source:
        # Annex B, as the raw stream has it: the lengths in front of the units become start codes
        extra = b"".join(_annex_b(bytes(packet), 4) for packet in source.demux(video=0) if packet.size)
        head = source.streams.video[0].codec_context.extradata or b""
    path.write_bytes(small.read_bytes() + _parameter_sets(head) + extra)
    small.unlink()
    large.unlink()


def _parameter_sets(record: bytes) -> bytes:
    """SPS and PPS of an avcC record, each after a start code."""
    out, at = b"", 6
    size = int.from_bytes(record[at : at + 2], "big")
    out, at = b"\0\0\0\1" + record[at + 2 : at + 2 + size], at + 2 + size + 1
    size = int.from_bytes(record[at : at + 2], "big")
    return out + b"\0\0\0\1" + record[at + 2 : at + 2 + size]


def _annex_b(units: bytes, width: int) -> bytes:
    out = b""
    while len(units) > width:
        size = int.from_bytes(units[:width], "big")
        out, units = out + b"\0\0\0\1" + units[width : width + size], units[width + size :]
    return out


# too many frames, streams, boxes


def _million_gif_frames(path: Path) -> None:
    frame = b"\x21\xf9\x04\0\1\0\0\0\x2c\0\0\0\0\1\0\1\0\0\x02\x02\x44\x01\0"
    path.write_bytes(b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + frame * MILLION + b"\x3b")


def _million_packets(path: Path, suffix: str, codec: str) -> None:
    """One small frame, written a million times."""
    with av.open(str(path), "w", format=suffix) as out:
        stream = cast(VideoStream, out.add_stream(codec, rate=1000))
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        packet = next(iter(stream.encode(VideoFrame(16, 16, "yuv420p")) or stream.encode(None)))
        out.mux(packet)
        data = bytes(packet)
        for number in range(1, MILLION):
            out.mux(_packet(data, stream, number))


def _endless_index(path: Path) -> None:
    """An MP4 whose index has 2³¹ samples, which all lie at the same place."""
    _mp4_index(path, samples=(1 << 31) - 1, chunks=1)


def _large_index(path: Path) -> None:
    _mp4_index(path, samples=10 * MILLION, chunks=10 * MILLION)


def _mp4_index(path: Path, samples: int, chunks: int) -> None:
    """chunks: entries of the table of offsets, as many as samples or one for all."""
    offsets = np.full(min(chunks, 10 * MILLION), 40, ">u4").tobytes()
    path.write_bytes(_mp4([_track(1, samples, offsets, samples // chunks)]))


def _mp4(tracks: Iterable[bytes]) -> bytes:
    header = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, 1 << 30) + bytes(80))
    moov = box(b"moov", header + b"".join(tracks))
    return box(b"ftyp", b"isom\0\0\2\0isommp41") + box(b"mdat", b"\xff\xd8\xff\xd9" * 64) + moov


def _track(
    number: int, samples: int = 1, offsets: bytes = b"\0\0\0\x28", per_chunk: int = 1, entry: bytes = b"jpeg"
) -> bytes:
    """A track of JPEGs with 64 × 64 pixels."""
    picture = bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">HHIIIH", 64, 64, 0x480000, 0x480000, 0, 1)
    described = struct.pack(">II", 0, 1) + box(entry, picture + bytes(32) + struct.pack(">Hh", 24, -1))
    table = (
        box(b"stsd", described)
        + box(b"stts", struct.pack(">IIII", 0, 1, samples, 1))
        + box(b"stsz", struct.pack(">III", 0, 4, samples))
        + box(b"stsc", struct.pack(">IIIII", 0, 1, 1, per_chunk, 1))
        + box(b"stco", struct.pack(">II", 0, len(offsets) // 4) + offsets)
    )
    media = (
        box(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 1000, samples & 0xFFFFFFFF, 0, 0))
        + box(b"hdlr", struct.pack(">II4s", 0, 0, b"vide") + bytes(13))
        + box(b"minf", box(b"vmhd", bytes(12)) + _references() + box(b"stbl", table))
    )
    size = struct.pack(">II", 64 << 16, 64 << 16)
    return box(
        b"trak", box(b"tkhd", struct.pack(">IIIII", 7, 0, 0, number, 0) + bytes(56) + size) + box(b"mdia", media)
    )


def _references(entry: bytes = box(b"url ", b"\0\0\0\1")) -> bytes:
    return box(b"dinf", box(b"dref", struct.pack(">II", 0, 1) + entry))


def _many_mp4_tracks(path: Path) -> None:
    path.write_bytes(_mp4(_track(number) for number in range(1, 5001)))


def _many_matroska_tracks(path: Path) -> None:
    tracks = b"".join(
        ebml(0xAE, ebml(0xD7, number.to_bytes(2, "big")) + ebml(0x83, b"\1") + ebml(0x86, b"V_MJPEG") + _PICTURE)
        for number in range(1, 5001)
    )
    path.write_bytes(_matroska(ebml(0x1654AE6B, tracks)))


_PICTURE: Final = ebml(0xE0, ebml(0xB0, b"\x40") + ebml(0xBA, b"\x40"))


def _matroska(content: bytes) -> bytes:
    return ebml(0x1A45DFA3, ebml(0x4282, b"matroska")) + unknown_element(0x18538067) + content


def _many_avi_streams(path: Path) -> None:
    header = b"vidsMJPG" + bytes(12) + struct.pack("<II", 1, 25) + bytes(28)
    picture = struct.pack("<IIIHH4s", 40, 64, 64, 1, 24, b"MJPG") + bytes(20)
    stream = audio_video_list(b"strl", [(b"strh", header), (b"strf", picture)])
    body = audio_video_list(b"hdrl", [(b"avih", bytes(56))], stream * 5000) + audio_video_list(b"movi", [])
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"AVI " + body)


def _many_transport_streams(path: Path) -> None:
    """New PIDs all the time, without a table that names them."""
    rng = Random(0)
    start = b"\0\0\1\xe0\0\0\x80\x80\x05\x21\0\1\0\1"
    path.write_bytes(
        b"".join(
            b"\x47" + struct.pack(">H", 0x4000 | (0x20 + pid % 8100)) + b"\x10" + start + rng.randbytes(170)
            for pid in range(30_000)
        )
    )


def _deep_boxes(path: Path) -> None:
    heads = b"".join(struct.pack(">I4s", 8 * left, b"moov") for left in range(100_000, 0, -1))
    path.write_bytes(box(b"ftyp", b"isom\0\0\2\0isommp41") + heads)


def _deep_elements(path: Path) -> None:
    path.write_bytes(
        _matroska(unknown_element(0x1254C367) + unknown_element(0x7373) + unknown_element(0x67C8) * 100_000)
    )


def _compressed_header(path: Path) -> None:
    """QuickTime's compressed `moov`: 1 MB that becomes 1 GB."""
    deflate = zlib.compressobj(9)
    packed = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(1000)) + deflate.flush()
    data = box(b"cmvd", struct.pack(">I", 1 << 30) + packed)
    path.write_bytes(box(b"ftyp", b"qt  \0\0\2\0qt  ") + box(b"moov", box(b"cmov", box(b"dcom", b"zlib") + data)))


def _large_metadata(path: Path) -> None:
    """50 MB of tags in front of the tracks."""
    tag = ebml(0x67C8, ebml(0x45A3, b"TITLE") + ebml(0x4487, b"<script>alert(1)</script>" * 40_000))
    tracks = ebml(0x1654AE6B, ebml(0xAE, ebml(0xD7, b"\1") + ebml(0x83, b"\1") + ebml(0x86, b"V_MJPEG") + _PICTURE))
    path.write_bytes(_matroska(ebml(0x1254C367, ebml(0x7373, tag * 50)) + tracks + elements(b"\xff\xd8\xff\xd9")))


def _slow(path: Path) -> None:
    render_slow(path.with_suffix(".webm")).rename(path)


# clocks


def _clock(path: Path, name: str) -> None:
    """An MPEG-TS of 40 frames whose presentation times are overwritten."""
    with av.open(str(path), "w", format="mpegts") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(40):
            out.mux(stream.encode(_gray(number)))
        out.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    for at, ticks in zip(list(_time_stamps(data)), _CLOCKS[name](), strict=False):
        _write_stamp(data, at, ticks)
    path.write_bytes(bytes(data))


def _time_stamps(data: bytearray) -> Iterator[int]:
    """Where the presentation times of an MPEG-TS are."""
    at = -1
    while (at := data.find(b"\0\0\1\xe0", at + 1)) >= 0:
        if data[at + 7] & 0x80:
            yield at + 9


def _write_stamp(data: bytearray, at: int, ticks: int) -> None:
    ticks &= (1 << 33) - 1
    mark = data[at] & 0xF0
    data[at] = mark | (ticks >> 29 & 0x0E) | 1
    data[at + 1 : at + 3] = ((ticks >> 14 & 0xFFFE) | 1).to_bytes(2, "big")
    data[at + 3 : at + 5] = ((ticks << 1 & 0xFFFE) | 1).to_bytes(2, "big")


def _random_times() -> Iterator[int]:
    rng = Random(0)
    while True:
        yield rng.randrange(1 << 33)


_CLOCKS: Final[dict[str, Callable[[], Iterator[int]]]] = {
    "all equal": lambda: itertools.repeat(0),
    "backwards": lambda: itertools.count(1 << 32, -3600),
    "days apart": lambda: itertools.count(0, 90_000 * 40_000),
    "random": _random_times,
    "to and fro": lambda: itertools.cycle((0, 1 << 32)),
    "across the end of the clock": lambda: itertools.count((1 << 33) - 20 * 3600, 3600),
}


def _gray(number: int) -> VideoFrame:
    frame = VideoFrame.from_ndarray(np.full((96, 64), number * 5 % 256, np.uint8), "yuv420p")
    frame.pts = number
    return frame


def _packet(data: bytes, stream: VideoStream, number: int) -> Packet[Stream]:
    packet = Packet(data)
    packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 1000), True
    packet.pts = packet.dts = number
    return packet


def _sizes_in_turn(path: Path) -> None:
    """A raw stream whose resolution changes 30 times."""
    parts = []
    for number in range(6):
        part = path.with_suffix(f".{number}")
        side = (32, 640, 48, 1280, 16, 320)[number]
        render(part, ClipSpec(".h264", format="h264", frames=4, width=side, height=side, options=SPECS["h264"].options))
        parts.append(part.read_bytes())
        part.unlink()
    path.write_bytes(b"".join(parts) * 5)


# other files and addresses


def references(target: str) -> dict[str, bytes]:
    """Files that name `target`, a path or a URL, in every way that a player would follow."""
    where = target.encode()
    return {
        "playlist (HLS)": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n" + where + b"\n#EXT-X-ENDLIST\n",
        "key of a playlist": b'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="' + where + b'"\n#EXTINF:1,\na.ts\n',
        "concat script": b"ffconcat version 1.0\nfile '" + where + b"'\n",
        "session description": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"
        b"a=rtpmap:96 H264/90000\na=control:" + where + b"\n",
        "DASH manifest": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>'
        + where
        + b"</BaseURL></MPD>",
        "picture (SVG)": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="' + where + b'"/></svg>',
        "entity (XML)": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "' + where + b'">]><a>&b;</a>',
        "redirector (ASX)": b'<asx version="3.0"><entry><ref href="' + where + b'"/></entry></asx>',
        "list of pictures": where,
        "reference movie": box(b"ftyp", b"qt  \0\0\2\0qt  ")
        + box(b"moov", box(b"rmra", box(b"rmda", _movie_address(where)))),
        "data of a track": _track_elsewhere(box(b"url ", bytes(4) + where + b"\0")),
        "alias of a track": _track_elsewhere(box(b"alis", bytes(4) + _alias(where))),
        "Matroska segment": _matroska(ebml(0x1549A966, ebml(0x3C83AB, where) + ebml(0x3E83BB, where))),
        "MXF package": b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02\x04\x00\x83\0\0\x10" + where,
    }  # fmt: skip


def _movie_address(where: bytes) -> bytes:
    return box(b"rdrf", struct.pack(">I4sI", 0, b"url ", len(where) + 1) + where + b"\0")


def _track_elsewhere(entry: bytes) -> bytes:
    return _mp4([_track(1).replace(_references(), _references(entry))])


def _alias(where: bytes) -> bytes:
    """A record of an alias as QuickTime writes it; tag 18 is the path."""
    return (
        struct.pack(">4sHH", b"MMOV", 200, 2)
        + bytes(142)
        + struct.pack(">HH", 18, len(where))
        + where
        + b"\xff\xff\0\0"
    )


def _reference(path: Path, name: str, target: str) -> None:
    path.write_bytes(references(target)[name])


def craftings(target: str = "http://127.0.0.1:9/vireo-was-here.mp4") -> dict[str, Craft]:
    """target: what the files refer to."""
    followed = {
        f"refers to another file: {name}": partial(_reference, name=name, target=target) for name in references("")
    }
    clocks = {f"times {name}": partial(_clock, name=name) for name in _CLOCKS}
    return {
        "GIF of 16k × 16k": _large_gif,
        "GIF of 64k × 64k": partial(render_huge_gif),
        "PNG of 16k × 16k": _large_apng,
        "PNG of 4k × 4k that tells 64 × 64": partial(_large_apng, side=4096, told=64),
        "H.264 of 8k × 8k": _large_frames,
        "H.264 of 8k × 8k in a Matroska file that tells 64 × 64": partial(_large_frames, told=64),
        "H.264 that grows to 8k × 8k": _growing,
        "resolution that changes 30 times": _sizes_in_turn,
        "GIF of a million frames": _million_gif_frames,
        "MP4 of a million frames": partial(_million_packets, suffix="mp4", codec="mpeg4"),
        "Matroska of a million frames": partial(_million_packets, suffix="matroska", codec="mpeg4"),
        "MP4 with an index of 2³¹ frames": _endless_index,
        "MP4 with an index of ten million frames": _large_index,
        "MP4 of 5,000 tracks": _many_mp4_tracks,
        "Matroska of 5,000 tracks": _many_matroska_tracks,
        "AVI of 5,000 streams": _many_avi_streams,
        "MPEG-TS of 8,100 streams": _many_transport_streams,
        "MP4 of 100,000 nested boxes": _deep_boxes,
        "Matroska of 100,000 nested elements": _deep_elements,
        "QuickTime header of 1 GB": _compressed_header,
        "Matroska with 50 MB of tags": _large_metadata,
        "4K frames that take many seconds": _slow,
        **clocks,
        **followed,
    }


CRAFTED: Final = craftings()
