"""`python examples/draw_clips.py FOLDER`: writes forty short clips in four classes, to try training with.

Coloured balls and boxes drift over a grey background, which a model learns within a minute on a laptop. Every call
writes the same clips.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.stream import VideoStream

UInt8Array = npt.NDArray[np.uint8]

WIDTH, HEIGHT, FRAMES, FPS, CLIPS = 160, 120, 24, 12, 10
CLASSES = {
    "a red ball": (210, 40, 40),
    "a green ball": (40, 170, 60),
    "a blue box": (40, 60, 210),
    "a yellow box": (220, 200, 40),
}


def frames(label: str, rng: np.random.Generator) -> Iterator[UInt8Array]:
    """The frames in order, uint8 [H, W, 3], sRGB."""
    background, colour = rng.integers(60, 200), np.array(CLASSES[label]) + rng.integers(-15, 15, 3)
    x, y = rng.uniform(40, WIDTH - 40), rng.uniform(30, HEIGHT - 30)
    step_x, step_y = rng.uniform(-1.5, 1.5, 2)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for index in range(FRAMES):
        right, down = columns - x - step_x * index, rows - y - step_y * index  # [H, W]
        inside = np.hypot(right, down) < 22 if "ball" in label else np.maximum(abs(right), abs(down)) < 20
        frame = np.where(inside[..., None], colour, background)  # [H, W, 3]
        yield np.clip(frame + rng.normal(0, 4, frame.shape), 0, 255).astype(np.uint8)


def draw(path: Path, label: str, seed: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "20"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames(label, np.random.default_rng(seed)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/draw_clips.py FOLDER")
    folder = Path(sys.argv[1])
    for number, label in enumerate(CLASSES):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for clip in range(CLIPS):
            draw(folder / label / f"{clip:02}.mp4", label, number * CLIPS + clip)
    print(f"{len(CLASSES) * CLIPS} clips are in {folder}.")


if __name__ == "__main__":
    main()
