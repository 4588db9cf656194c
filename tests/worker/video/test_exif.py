"""Frames that are JPEGs of a camera, with EXIF."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image, ImageOps

from models.frames.arrays import UInt8Array
from models.frames.sampling import Views
from models.profiles.profile import Profile
from tests.clips import draw_index
from worker.video.clip import DecodeRequest, decode_clip
from worker.video.container import VideoLimits

PROFILE = Profile("test", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 48, 48, ("{}",))
ORIENTATION = 0x0112


def render_with_exif(path: Path, orientation: int) -> Image.Image:
    """A clip of four equal frames; returns the frame."""
    exif, jpeg = Image.Exif(), io.BytesIO()
    exif[ORIENTATION] = orientation
    Image.fromarray(draw_index(11, 64, 64)).convert("RGB").save(jpeg, "JPEG", exif=exif, quality=95)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        for number in range(4):
            packet = av.Packet(jpeg.getvalue())
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            container.mux(packet)
    return Image.open(jpeg)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_frame_with_exif_is_shown_as_its_camera_was_held(orientation: int, tmp_path: Path) -> None:
    picture = render_with_exif(tmp_path / "camera.avi", orientation)
    request = DecodeRequest(PROFILE, Views(), 2, VideoLimits())
    out = np.zeros(request.shape, np.uint8)  # [1, 2, 48, 48, 3]
    decode_clip(tmp_path / "camera.avi", request, out)

    upright = ImageOps.exif_transpose(picture).resize((48, 48), Image.Resampling.BICUBIC)
    expected: UInt8Array = np.asarray(upright, np.uint8)
    assert np.abs(out[0, 0].astype(int) - expected).mean() < 8
