"""`python -m benchmarks.decoding.readers NAME`: each line [path, frames, width, height] is answered with the seconds
[CPU, wall] that the file took.

Each reader gives the frames of Text4Vis' rule, reduced to the short side and cropped: uint8 [T, 224, 224, 3]. decord
and torchcodec reduce while they decode, as their documentation shows (`width` and `height`; `transforms`), and decode
with one thread like "vireo". "vireo-threads" decodes with two, "vireo-child" in a confined child, through the pool.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from models.frames.arrays import UInt8Array
from models.frames.sampling import Views, frame_indices
from models.profiles.profile import Profile

SIZE = 224
PROFILE = Profile("bench", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), SIZE, SIZE, ("{}",))

Read = Callable[[str, int, tuple[int, int]], UInt8Array]
"""Path, frames T, width and height after the reduction → uint8 [T, S, S, 3]."""


def main(name: str) -> None:
    read, children = READERS[name]()
    for line in sys.stdin:
        path, frames, width, height = json.loads(line)
        cpu, wall = _cpu(children()), time.perf_counter()
        found = read(path, frames, _reduced(width, height))
        spent = _cpu(children()) - cpu, time.perf_counter() - wall
        assert found.shape == (frames, SIZE, SIZE, 3), f"{name}: {found.shape}"
        print(json.dumps(spent), flush=True)


Reader = tuple[Read, Callable[[], list[int]]]
"""How to read, and the processes whose CPU time counts beside this one."""


def decord() -> Reader:
    from decord import VideoReader, cpu  # type: ignore[import-not-found]

    def read(path: str, frames: int, reduced: tuple[int, int]) -> UInt8Array:
        w, h = reduced
        video = VideoReader(path, ctx=cpu(0), width=w, height=h, num_threads=1)
        found: UInt8Array = video.get_batch(_indices(len(video), frames)).asnumpy()  # [T, h, w, 3]
        y, x = (h - SIZE) // 2, (w - SIZE) // 2
        return found[:, y : y + SIZE, x : x + SIZE]

    return read, list


def torchcodec() -> Reader:
    from torchcodec.decoders import VideoDecoder  # type: ignore[import-not-found]
    from torchcodec.transforms import CenterCrop, Resize  # type: ignore[import-not-found]

    def read(path: str, frames: int, reduced: tuple[int, int]) -> UInt8Array:
        w, h = reduced
        decoder = VideoDecoder(
            path, dimension_order="NHWC", num_ffmpeg_threads=1, transforms=[Resize((h, w)), CenterCrop((SIZE, SIZE))]
        )
        found: UInt8Array = decoder.get_frames_at(_indices(decoder.metadata.num_frames, frames)).data.numpy()
        return found

    return read, list


def vireo(threads: int = 1) -> Reader:
    from worker.video.clip import DecodeRequest, decode_clip
    from worker.video.container import VideoLimits

    def read(path: str, frames: int, _reduced: tuple[int, int]) -> UInt8Array:
        request = DecodeRequest(PROFILE, Views(), frames, VideoLimits(), threads)
        out = np.zeros(request.shape, np.uint8)
        decode_clip(Path(path), request, out)
        found: UInt8Array = out[0]
        return found

    return read, list


def vireo_child() -> Reader:
    from worker.decoding.pool import DecodePool

    pool = DecodePool(1, deadline_s=600, memory_bytes=4 << 30, max_pixels=4096 * 2304, max_seconds=3600)

    def read(path: str, frames: int, _reduced: tuple[int, int]) -> UInt8Array:
        found: UInt8Array = pool.submit(Path(path), profile=PROFILE, views=Views(), frames=frames).result().frames[0]
        return found

    return read, lambda: pool.children


READERS: dict[str, Callable[[], Reader]] = {
    "decord": decord,
    "torchcodec": torchcodec,
    "vireo": vireo,
    "vireo-threads": lambda: vireo(threads=2),
    "vireo-child": vireo_child,
}


def _reduced(width: int, height: int) -> tuple[int, int]:
    short = min(width, height)
    return width * SIZE // short, height * SIZE // short


def _indices(count: int, frames: int) -> list[int]:
    found: list[int] = frame_indices(count, frames, PROFILE.sampling)[0].tolist()
    return found


def _cpu(children: list[int]) -> float:
    """Seconds, of user and system, of this process and of others."""
    ticks = 0
    for pid in children:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main(sys.argv[1])
