"""From a decoded frame to the sRGB pixels of a player: colour matrix and range, alpha, pixel aspect, orientation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, radians, sin
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.reformatter import Interpolation as Scaling

from models.frames.arrays import UInt8Array
from models.frames.picture import Pixels
from models.profiles.profile import Interpolation

_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_RGB = 0  # AVCOL_SPC_RGB
_HD_HEIGHT = 577  # PAL has 576 lines; players assume that an untagged stream with more lines is HD and so BT.709
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}  # AVColorSpace → swscale's numbers, because PyAV passes the value to swscale unmapped
_MAX_ASPECT = 4.0  # a more oblong pixel means a broken header, not a lens
_QUALITY = Scaling.BILINEAR  # 0.6 ms for a 1080p frame; with ACCURATE_RND 5 to 15 ms, for 2 levels at most
_REDUCTION = {
    "bicubic": Scaling.BICUBIC | Scaling.FULL_CHR_H_INT,
    "bilinear": Scaling.BILINEAR | Scaling.FULL_CHR_H_INT,
}  # both widen their filter with the step, as Pillow does; without FULL_CHR_H_INT colours have half the width


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a frame is displayed. width, height: pixels, after rotation; rotation: clockwise, 0, 90, 180 or 270."""

    width: int
    height: int
    rotation: int


@dataclass(frozen=True, slots=True)
class _Orientation:
    transpose: bool
    flip_x: bool
    flip_y: bool

    @property
    def rotation(self) -> int:
        """Degrees clockwise. For a mirrored frame: the rotation after mirroring left and right."""
        return (90 if self.flip_x else 270) if self.transpose else (180 if self.flip_y else 0)


def geometry(frame: VideoFrame, aspect: float = 1.0) -> Geometry:
    """aspect: width of one pixel over its height."""
    orientation = _orientation(frame)
    width, height = _square_width(frame.width, aspect), frame.height
    if orientation.transpose:
        width, height = height, width
    return Geometry(width, height, orientation.rotation)


class ShownFrame:
    """A decoded frame as it is displayed: a `models.frames.picture.Picture`. Transparent parts are black.
    aspect: width of one stored pixel over its height."""

    def __init__(self, frame: VideoFrame, reformatter: VideoReformatter, aspect: float = 1.0) -> None:
        self._frame, self._reformatter = frame, reformatter
        self._orientation = _orientation(frame)
        self._square_width = _square_width(frame.width, aspect)
        self._alpha = frame.format.has_palette or any(c.is_alpha for c in frame.format.components)

    @property
    def width(self) -> int:
        return self._frame.height if self._orientation.transpose else self._square_width

    @property
    def height(self) -> int:
        return self._square_width if self._orientation.transpose else self._frame.height

    def pixels(self) -> UInt8Array:
        """uint8 [height, width, 3], sRGB."""
        return self._converted(self.width, self.height, _QUALITY)

    def reduced(self, width: int, height: int, interpolation: Interpolation) -> UInt8Array:
        """uint8 [height, width, 3], sRGB."""
        if self._alpha:  # colours that nobody sees would run into their neighbours
            return Pixels(self.pixels()).reduced(width, height, interpolation)
        return self._converted(width, height, _REDUCTION[interpolation])

    def _converted(self, width: int, height: int, how: Scaling) -> UInt8Array:
        stored = (height, width) if self._orientation.transpose else (width, height)
        converted = self._reformatter.reformat(
            self._frame,
            *stored,
            format="rgba" if self._alpha else "rgb24",
            src_colorspace=_matrix(self._frame),
            src_color_range=_range(self._frame),
            dst_color_range=ColorRange.JPEG,
            interpolation=how,
            threads=1,
        )
        pixels = np.asarray(converted.to_ndarray(), dtype=np.uint8)  # [H, W, 3 or 4]
        if self._alpha:
            pixels = _over_black(pixels)
        return _orient(pixels, self._orientation)


def _over_black(rgba: UInt8Array) -> UInt8Array:
    rgb, alpha = rgba[..., :3], rgba[..., 3:]
    if alpha.min() == 255:
        return rgb
    return ((rgb.astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)  # [H, W, 3]


def _square_width(width: int, aspect: float) -> int:
    if not 1 / _MAX_ASPECT <= aspect <= _MAX_ASPECT:
        return width
    return max(round(width * aspect), 1)


def _matrix(frame: VideoFrame) -> Colorspace | None:
    if frame.format.is_rgb or frame.colorspace == _RGB:
        return None
    if frame.colorspace == _UNSPECIFIED:
        return Colorspace.ITU709 if frame.height >= _HD_HEIGHT else Colorspace.ITU601
    return _MATRICES.get(frame.colorspace)


def _range(frame: VideoFrame) -> ColorRange | None:
    full = frame.format.name.startswith("yuvj") or frame.color_range == ColorRange.JPEG
    return ColorRange.JPEG if full else None


def _orientation(frame: VideoFrame) -> _Orientation:
    """The multiple of 90° nearest to the stream's display matrix, mirrored if it mirrors."""
    a, b, c, d = _display_matrix(frame)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return _Orientation(transpose=False, flip_x=a < 0, flip_y=d < 0)
    return _Orientation(transpose=True, flip_x=c < 0, flip_y=b < 0)


def _display_matrix(frame: VideoFrame) -> tuple[float, float, float, float]:
    """a, b, c, d: the point (x, y) is shown at (a·x + c·y, b·x + d·y), y pointing down."""
    try:
        side_data: Mapping[Any, Any] = frame.side_data  # its annotation knows one key only
    except ValueError:  # PyAV lists no side data at all if there is a kind that it has no name for, such as EXIF
        turn = radians(frame.rotation)  # counterclockwise; whether the matrix mirrors is not said
        return cos(turn), -sin(turn), sin(turn), cos(turn)
    if SideDataType.DISPLAYMATRIX not in side_data:
        return 1, 0, 0, 1
    # [a b u; c d v; x y w], 16.16 fixed point, host order
    a, b, _, c, d = np.frombuffer(bytes(side_data[SideDataType.DISPLAYMATRIX]), np.int32)[:5].tolist()
    return a, b, c, d


def _orient(pixels: UInt8Array, orientation: _Orientation) -> UInt8Array:
    if orientation.transpose:
        pixels = pixels.swapaxes(0, 1)  # [W, H, 3]
    if orientation.flip_x:
        pixels = pixels[:, ::-1]
    if orientation.flip_y:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
