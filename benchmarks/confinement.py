"""What confinement costs: the CPU time of a clip in a confined decode child, against the same decoding in this process.

    python -m benchmarks.confinement

Both decode the same clip with one thread, in turns, so a busy machine slows both. The frames must be equal.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.decode_plan import PROFILE
from benchmarks.decoding.clips import CLIPS, render
from benchmarks.report import Row, report
from models.frames.sampling import Views
from worker.decoding.children import DecodeChildren
from worker.decoding.decode_child import ChildLimits, ChildTask
from worker.decoding.memory import Segment
from worker.video.clip import DecodeRequest, decode_clip
from worker.video.container import VideoLimits

ROUNDS, CLIPS_PER_ROUND, STARTS = 8, 10, 20
REQUEST = DecodeRequest(PROFILE, Views(), 8, VideoLimits(), threads=1)
TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds


def main() -> bool:
    server = DecodeChildren(ChildLimits(1 << 30, 0))
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as folder:
        clip = render(CLIPS[0], Path(folder))
        child = server.start()
        segment, video = Segment(REQUEST.shape), os.open(clip, os.O_RDONLY)
        here, there = np.zeros(REQUEST.shape, np.uint8), segment.map()
        inside = confined = 0.0
        for round_ in range(ROUNDS + 1):  # the first warms both up
            begin, ticks = time.process_time(), cpu_seconds(child.pid)
            for _ in range(CLIPS_PER_ROUND):
                decode_clip(clip, REQUEST, here)
            spent = time.process_time() - begin
            begin = time.process_time()
            for _ in range(CLIPS_PER_ROUND):
                child.decode(ChildTask(REQUEST, None), (segment.fd, video), 60.0)
            beside = time.process_time() - begin  # of this process, for the messages
            if round_:
                inside += spent
                confined += cpu_seconds(child.pid) - ticks + beside
        begin = time.perf_counter()
        for _ in range(STARTS):
            server.start().end()
        start = (time.perf_counter() - begin) / STARTS
        os.close(video)
        segment.close()
    server.close()
    equal, clips = bool((here == there).all()), ROUNDS * CLIPS_PER_ROUND

    return report(
        "confinement",
        [
            Row("in this process, per clip", 1000 * inside / clips, "ms"),
            Row("in a confined child, per clip", 1000 * confined / clips, "ms"),
            Row("confined / unconfined", confined / inside, "×", "at most 1.10", confined / inside <= 1.10),
            Row("frames are equal", float(equal), "", "1", equal),
            Row("start of a confined child", 1000 * start, "ms"),
        ],
    )


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK  # utime, stime


if __name__ == "__main__":
    sys.exit(not main())
