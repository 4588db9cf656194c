"""`python examples/camera_windows.py SOURCE SECONDS LABEL LABEL…`: what a camera shows, asked once per window.

SOURCE is what PyAV opens: `rtsp://user:password@camera/stream`, `/dev/video0` (with FORMAT=v4l2 in the environment), or
a file. Each window of SECONDS becomes a small MP4, and one line says what it shows. The source is not read while an
answer is awaited: for a live camera, choose windows that take longer than an answer.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from fractions import Fraction

import av

from vireo import Client

URL = os.environ.get("VIREO_URL", "http://127.0.0.1:8000")
FPS = 8  # frames that are kept per second: a window of four seconds has more than a model looks at


def windows(source: str, seconds: float) -> Iterator[tuple[float, list[av.VideoFrame]]]:
    """The start of each window in seconds, and its frames. The last one may be shorter."""
    with av.open(source, format=os.environ.get("FORMAT"), timeout=10) as container:
        start, due, frames = 0.0, 0.0, list[av.VideoFrame]()
        for frame in container.decode(video=0):
            time = frame.time or 0.0
            if not frames:
                start = due = time
            elif time >= start + seconds:
                yield start, frames
                start, due, frames = time, time, []
            if time >= due:
                frames.append(frame)
                due += 1 / FPS
        if frames:
            yield start, frames


def mp4(frames: list[av.VideoFrame]) -> bytes:
    """The frames as a video of their own."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
        stream.width, stream.height = frames[0].width // 2 * 2, frames[0].height // 2 * 2
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(frames):
            small = frame.reformat(stream.width, stream.height, "yuv420p")
            small.pts, small.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(small))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def main() -> None:
    if len(sys.argv) < 5:
        sys.exit("usage: python examples/camera_windows.py SOURCE SECONDS LABEL LABEL…")
    source, seconds, labels = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    with Client(URL) as client:
        for start, frames in windows(source, seconds):
            best = client.classify(mp4(frames), labels, top_k=1).predictions[0]
            print(f"{start:7.1f} s  {best.label}  {best.score:.0%}", flush=True)


if __name__ == "__main__":
    main()
