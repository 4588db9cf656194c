"""Rendered test clips with known content, in every supported container and codec.

`render(path, spec)` writes one clip; `SPECS` names the specs that tests share; `rendered(name, folder)` keeps one file
per name. Each frame shows its own index as nine light or dark cells, big enough to survive compression and resizing, so
that a test can READ which frame was taken: `read_index(crop)`. `truncate` and `corrupt` damage good clips.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from models.frames.arrays import UInt8Array

CELLS = 3  # 3 × 3 cells: indices 0 … 511
DARK, LIGHT = 30, 220
MILLISECONDS = Fraction(1, 1000)

Content = Literal["index", "bars", "alpha", "ramp"]
Matrix = Literal["bt601", "bt709"]
LUMA: dict[Matrix, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
}  # Kr, Kb of BT.601 / BT.709
AV_MATRIX: dict[Matrix, int] = {"bt601": 6, "bt709": 1}  # AVCOL_SPC_SMPTE170M, AVCOL_SPC_BT709

BARS: tuple[tuple[int, int, int], ...] = ((200, 30, 30), (30, 180, 40), (40, 40, 210), (128, 128, 128))
"""Colours of the four quadrants of content "bars": top left, top right, bottom left, bottom right."""


@dataclass(frozen=True, slots=True)
class ClipSpec:
    """One clip. `times` (ms of each frame) makes it variable-rate; otherwise frame i is shown at offset + i / fps."""

    suffix: str = ".mp4"
    codec: str = "libx264"
    frames: int = 40
    fps: int = 25
    width: int = 96
    height: int = 64
    gop: int = 10
    bframes: int = 0
    pix_fmt: str = "yuv420p"
    content: Content = "index"
    format: str | None = None  # muxer, if the suffix does not give it
    options: tuple[tuple[str, str], ...] = ()  # of the encoder
    muxer: tuple[tuple[str, str], ...] = ()  # of the container
    times: tuple[int, ...] | None = None
    offset: Fraction = Fraction(0)  # seconds before the first frame (an edit list in MP4)
    rotation: int = 0  # display matrix, degrees counterclockwise
    mirrored: bool = False  # display matrix, left and right
    aspect: Fraction | None = None  # of one pixel
    matrix: Matrix | None = None  # content "bars": which matrix the pixels and the tag use
    full_range: bool = False
    tagged: bool = True  # False: the stream declares no matrix
    bits: int = 8
    audio: bool = False

    @property
    def seconds(self) -> list[float]:
        """When each frame is shown, counted from the first."""
        if self.times is not None:
            return [(t - self.times[0]) / 1000 for t in self.times]
        return [i / self.fps for i in range(self.frames)]


_X264 = (("preset", "ultrafast"), ("crf", "18"))
_X265 = (("preset", "ultrafast"), ("crf", "16"), ("x265-params", "log-level=none"))
_VP9 = (("deadline", "realtime"), ("cpu-used", "8"), ("crf", "20"), ("b", "0"))
_AV1 = (("preset", "12"), ("crf", "20"), ("svtav1-params", "tune=0"))
_BASE = ClipSpec(options=_X264)
_VFR = tuple(int(40 * i + (900 if i >= 10 else 0) + (i % 3) * 9) for i in range(40))

SPECS: dict[str, ClipSpec] = {
    "h264": _BASE,
    "h264_long_gop": replace(_BASE, gop=400, frames=60),
    "h264_bframes": replace(_BASE, bframes=3, gop=12, options=(("preset", "veryfast"), ("crf", "18"))),
    "h264_open_gop": replace(
        _BASE, bframes=3, gop=12, options=(("preset", "veryfast"), ("crf", "18"), ("x264-params", "open-gop=1"))
    ),
    "h264_intra": replace(_BASE, gop=1),
    "h264_vfr": replace(_BASE, times=_VFR),
    "h264_vfr_bframes": replace(_BASE, times=_VFR, bframes=2, options=(("preset", "veryfast"), ("crf", "18"))),
    "h264_offset": replace(_BASE, offset=Fraction(2)),
    "h264_fragmented": replace(_BASE, muxer=(("movflags", "frag_keyframe+empty_moov"),)),
    "h264_faststart": replace(_BASE, muxer=(("movflags", "faststart"),)),
    "h264_audio": replace(_BASE, audio=True),
    "h264_rotate90": replace(_BASE, rotation=90),
    "h264_rotate270": replace(_BASE, rotation=-90),
    "h264_rotate180": replace(_BASE, rotation=180),
    "h264_gray": replace(_BASE, pix_fmt="gray"),
    "h264_444": replace(_BASE, pix_fmt="yuv444p", width=97, height=65),
    "h264_mov": replace(_BASE, suffix=".mov"),
    "h264_mkv": replace(_BASE, suffix=".mkv", bframes=2, options=(("preset", "veryfast"), ("crf", "18"))),
    "h264_avi": replace(_BASE, suffix=".avi"),
    "h264_flv": replace(_BASE, suffix=".flv"),
    "h264_ts": replace(_BASE, suffix=".ts", bframes=2, options=(("preset", "veryfast"), ("crf", "18"))),
    "h264_raw": replace(_BASE, suffix=".h264", format="h264"),
    "hevc": replace(_BASE, codec="libx265", options=_X265),
    "hevc_10bit": replace(_BASE, codec="libx265", options=_X265, pix_fmt="yuv420p10le", bframes=2),
    "hevc_mkv": replace(_BASE, codec="libx265", options=_X265, suffix=".mkv"),
    "av1_mp4": replace(_BASE, codec="libsvtav1", options=_AV1),
    "av1_webm": replace(_BASE, codec="libsvtav1", options=_AV1, suffix=".webm"),
    "vp8_webm": replace(_BASE, codec="libvpx", suffix=".webm", options=_VP9),
    "vp9_webm": replace(_BASE, codec="libvpx-vp9", suffix=".webm", options=_VP9),
    "vp9_live": replace(_BASE, codec="libvpx-vp9", suffix=".webm", options=_VP9, muxer=(("live", "1"),)),
    "vp9_odd": replace(_BASE, codec="libvpx-vp9", suffix=".webm", options=_VP9, width=101, height=67),
    "ffv1_gray": replace(_BASE, codec="ffv1", suffix=".mkv", options=(), pix_fmt="gray"),
    "mpeg4_avi": replace(_BASE, codec="mpeg4", suffix=".avi", options=(("q", "2"),), bframes=2),
    "mpeg4_mp4": replace(_BASE, codec="mpeg4", options=(("b", "2000000"),)),
    "mpeg2_mpg": replace(_BASE, codec="mpeg2video", suffix=".mpg", options=(("b", "2000000"),), bframes=2),
    "mpeg2_ts": replace(_BASE, codec="mpeg2video", suffix=".ts", options=(("b", "2000000"),)),
    "wmv": replace(_BASE, codec="wmv2", suffix=".wmv", options=(("b", "2000000"),)),
    "mjpeg_avi": replace(_BASE, codec="mjpeg", suffix=".avi", pix_fmt="yuvj420p", options=(("q", "3"),)),
    "mjpeg_mov": replace(_BASE, codec="mjpeg", suffix=".mov", pix_fmt="yuvj420p", options=(("q", "3"),)),
    "prores_mov": replace(_BASE, codec="prores_ks", suffix=".mov", pix_fmt="yuv422p10le", options=()),
    "ffv1_mkv": replace(_BASE, codec="ffv1", suffix=".mkv", options=()),
    "ffv1_odd": replace(_BASE, codec="ffv1", suffix=".mkv", options=(), width=99, height=71),
    "rawvideo_avi": replace(_BASE, codec="rawvideo", suffix=".avi", options=()),
    "gif": replace(_BASE, codec="gif", suffix=".gif", pix_fmt="gray", options=()),
    "vp9_alpha": replace(
        _BASE, codec="libvpx-vp9", suffix=".webm", options=(*_VP9, ("auto-alt-ref", "0")), pix_fmt="yuva420p",
        content="alpha",
    ),
    "prores_alpha": replace(
        _BASE, codec="prores_ks", suffix=".mov", pix_fmt="yuva444p10le", options=(("alpha_bits", "16"),),
        content="alpha", frames=12,
    ),
    "qtrle_alpha": replace(_BASE, codec="qtrle", suffix=".mov", pix_fmt="argb", options=(), content="alpha"),
    "gif_alpha": replace(_BASE, codec="gif", suffix=".gif", pix_fmt="pal8", options=(), content="alpha"),
}  # fmt: skip
"""Every spec that decodes to its own indices."""


def rendered(name: str, folder: Path) -> Path:
    """The clip of SPECS[name], rendered into `folder` unless it is there."""
    spec = SPECS[name]
    path = folder / f"{name}{spec.suffix}"
    return path if path.exists() else render(path, spec)


def render(path: Path, spec: ClipSpec) -> Path:
    """Writes the clip; returns `path`."""
    os.environ.setdefault("SVT_LOG", "1")  # errors only
    with av.open(str(path), "w", format=spec.format, container_options=dict(spec.muxer)) as container:
        options = dict(spec.options)
        if spec.codec not in ("gif", "qtrle", "rawvideo", "ffv1", "mjpeg", "prores_ks"):
            options |= {"g": str(spec.gop), "bf": str(spec.bframes)}
        if spec.codec in ("libx264", "libx265"):
            options |= {"sc_threshold": "0"}
        stream = container.add_stream(spec.codec, rate=spec.fps, options=options)
        assert isinstance(stream, VideoStream)
        _configure(stream, spec)
        audio = container.add_stream("aac", rate=16000) if spec.audio else None
        if audio is not None:
            container.mux(audio.encode(_silence(spec)))
        for frame in _frames(spec):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))
    if spec.codec == "libsvtav1" and hasattr(os, "sched_setscheduler"):
        # as root, this encoder makes the calling thread a real-time one, and so every child started from it later
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return path


def render_audio(path: Path) -> Path:
    """A file with sound only."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        container.mux(stream.encode(_silence(ClipSpec())))
        container.mux(stream.encode(None))
    return path


def render_cover(path: Path) -> Path:
    """Music with a cover picture, which the container lists as a video stream."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000)
        cover = container.add_stream("mjpeg", rate=25)
        assert isinstance(cover, VideoStream)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        container.mux(sound.encode(_silence(ClipSpec())))
        container.mux(cover.encode(VideoFrame.from_ndarray(draw_index(5, 64, 64), "gray").reformat(format="yuvj420p")))
        for stream in (sound, cover):
            container.mux(stream.encode(None))
    return path


def render_slow(path: Path, frames: int = 800) -> Path:
    """A clip that is made in one second and takes many seconds to decode: "no change" in 4K, many times."""
    picture = np.random.default_rng(0).integers(64, 192, (2160 * 3 // 2, 3840), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        coarse = {"deadline": "realtime", "cpu-used": "8", "qmin": "60", "qmax": "63", "b": "100k"}
        stream = container.add_stream("libvpx", rate=25, options=coarse)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 3840, 2160, "yuv420p"
        packets = []
        for i in range(2):
            frame = VideoFrame.from_ndarray(picture, "yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        key, change = packets[0], bytes(packets[1])
        container.mux(key)
        for i in range(1, frames):
            packet = av.Packet(change)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, i, i, Fraction(1, 25)
            container.mux(packet)
    return path


def render_huge_gif(path: Path, side: int = 65535) -> Path:
    """A valid GIF of a few bytes whose canvas claims side × side pixels."""
    size = side.to_bytes(2, "little") * 2
    frame = b"\x21\xf9\x04\x00\x04\x00\x00\x00" + b"\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00" + b"\x02\x02\x4c\x01\x00"
    path.write_bytes(b"GIF89a" + size + b"\x80\x00\x00" + b"\x00\x00\x00\xff\xff\xff" + frame * 3 + b"\x3b")
    return path


def truncate(path: Path, fraction: float, target: Path) -> Path:
    """The first part of the file only."""
    data = path.read_bytes()
    target.write_bytes(data[: int(len(data) * fraction)])
    return target


def corrupt(path: Path, seed: int, flips: int, target: Path, start: float = 0.0, end: float = 1.0) -> Path:
    """The file with `flips` random bytes changed between two fractions of its length."""
    data = bytearray(path.read_bytes())
    rng = random.Random(seed)
    for _ in range(flips):
        data[rng.randrange(int(len(data) * start), int(len(data) * end))] ^= rng.randrange(1, 256)
    target.write_bytes(bytes(data))
    return target


def read_index(crop: UInt8Array) -> int:
    """crop: uint8 [S, S, 3], the centre square of a frame → the index it shows."""
    gray = crop.astype(np.float64).mean(axis=2)  # [S, S]
    side = gray.shape[0]
    bits = 0
    for cell in range(CELLS * CELLS):
        y, x = divmod(cell, CELLS)
        cy, cx = (int((2 * k + 1) * side / (2 * CELLS)) for k in (y, x))
        r = max(side // (CELLS * 6), 1)
        bits |= int(gray[cy - r : cy + r, cx - r : cx + r].mean() > (DARK + LIGHT) / 2) << cell
    return bits


def draw_index(index: int, width: int, height: int) -> UInt8Array:
    """uint8 [height, width]: the cells of `index` fill the centre square."""
    image = np.full((height, width), DARK, np.uint8)
    side = min(width, height)
    x0, y0 = (width - side) // 2, (height - side) // 2
    for cell in range(CELLS * CELLS):
        if index >> cell & 1:
            y, x = divmod(cell, CELLS)
            rows = slice(y0 + y * side // CELLS, y0 + (y + 1) * side // CELLS)
            columns = slice(x0 + x * side // CELLS, x0 + (x + 1) * side // CELLS)
            image[rows, columns] = LIGHT
    return image


def _configure(stream: VideoStream, spec: ClipSpec) -> None:
    stream.width, stream.height, stream.pix_fmt = spec.width, spec.height, spec.pix_fmt
    if spec.times is not None or spec.offset:
        stream.codec_context.time_base = MILLISECONDS
    if spec.rotation or spec.mirrored:
        stream.set_display_rotation(spec.rotation, hflip=spec.mirrored)
    if spec.aspect is not None:
        stream.codec_context.sample_aspect_ratio = spec.aspect
    if spec.content == "bars" and spec.matrix is not None and spec.tagged:
        stream.codec_context.colorspace = AV_MATRIX[spec.matrix]
    if spec.full_range:
        stream.codec_context.color_range = 2
    # one thread: frame-parallel encoders keep their own frame order and cost more than they save on clips this small
    stream.codec_context.thread_count = 1


def _frames(spec: ClipSpec) -> Iterator[VideoFrame]:
    for i in range(spec.frames):
        frame = _draw(spec, i)
        if spec.times is not None or spec.offset:
            at = Fraction(spec.times[i], 1000) if spec.times is not None else Fraction(i, spec.fps) + spec.offset
            frame.pts, frame.time_base = int(at / MILLISECONDS), MILLISECONDS
        else:
            frame.pts, frame.time_base = i, Fraction(1, spec.fps)
        yield frame


def _draw(spec: ClipSpec, index: int) -> VideoFrame:
    if spec.content == "bars":
        return _draw_bars(spec)
    if spec.content == "ramp":
        ramp = np.tile(np.linspace(64, 940, spec.width).astype(np.uint16), (spec.height, 1))
        planes = np.concatenate([ramp.ravel(), np.full(spec.width * spec.height // 2, 512, np.uint16)])
        return VideoFrame.from_ndarray(planes.reshape(-1, spec.width), "yuv420p10le")
    gray = draw_index(index, spec.width, spec.height)
    if spec.content == "alpha":
        return _draw_alpha(spec, gray)
    return VideoFrame.from_ndarray(np.stack([gray] * 3, axis=2), "rgb24").reformat(format=spec.pix_fmt)


def _draw_alpha(spec: ClipSpec, gray: UInt8Array) -> VideoFrame:
    """White everywhere; only the light cells are opaque. A decoder that ignores alpha gives an all-white frame."""
    opaque = gray == LIGHT
    if spec.pix_fmt == "pal8":
        palette = np.zeros((256, 4), np.uint8)
        palette[0], palette[1] = (0, 255, 255, 255), (255, 255, 255, 255)  # ARGB
        frame = VideoFrame.from_ndarray(opaque.astype(np.uint8), "gray")
        return _with_palette(frame, palette)
    rgba = np.full((*gray.shape, 4), 255, np.uint8)
    rgba[..., 3] = np.where(opaque, 255, 0)
    return VideoFrame.from_ndarray(rgba, "rgba").reformat(format=spec.pix_fmt)


def _with_palette(gray: VideoFrame, palette: UInt8Array) -> VideoFrame:
    arrays: Any = (gray.to_ndarray(), palette)  # PyAV takes this pair for pal8, its annotation does not say so
    return VideoFrame.from_ndarray(arrays, "pal8")


def _draw_bars(spec: ClipSpec) -> VideoFrame:
    """The quadrants of BARS, turned into Y'CbCr by the textbook formula, not by the library under test."""
    assert spec.matrix is not None
    kr, kb = LUMA[spec.matrix]
    rgb = np.zeros((spec.height, spec.width, 3))
    half_h, half_w = spec.height // 2, spec.width // 2
    for k, colour in enumerate(BARS):
        y, x = divmod(k, 2)
        rgb[y * half_h : (y + 1) * half_h, x * half_w : (x + 1) * half_w] = colour
    r, g, b = (rgb[..., c] / 255 for c in range(3))
    luma = kr * r + (1 - kr - kb) * g + kb * b
    chroma = [(b - luma) / (2 * (1 - kb)), (r - luma) / (2 * (1 - kr))]
    if spec.full_range:
        planes = [luma * 255, *(c * 255 + 128 for c in chroma)]
    else:
        planes = [luma * 219 + 16, *(c * 224 + 128 for c in chroma)]
    depth = 2 ** (spec.bits - 8)
    dtype = np.uint8 if spec.bits == 8 else np.uint16
    halved = [planes[0], *(p[::2, ::2] for p in planes[1:])]  # 4:2:0
    flat = np.concatenate([np.round(p * depth).astype(dtype).ravel() for p in halved])
    return VideoFrame.from_ndarray(flat.reshape(-1, spec.width), spec.pix_fmt)


def _silence(spec: ClipSpec) -> av.AudioFrame:
    samples = np.zeros((1, 16000 * spec.frames // spec.fps), np.float32)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
    return frame
