"""A stored video as vectors: decoded, sampled and encoded, unless its frame features are in a cache."""

from __future__ import annotations

from contextlib import ExitStack

import torch

from core.batches.request import OBJECT_SCHEME
from core.errors import UndecodableVideo, UnknownVideo, VideoTooLarge
from core.prometheus import DECODE_FAILURES, DECODE_FRAMES, VIDEO_SECONDS, codec_label
from core.questions import AskedVideo, Options
from core.records import VideoFacts, video_id
from core.storage import blob_key
from models.frames.sampling import Views
from worker.decoding.pool import DecodedClip
from worker.inference.batching.towers import Frames
from worker.inference.caches.features import VideoVectors, video_key
from worker.inference.loading.shelf import Loaded
from worker.inference.runtime import Runtime
from worker.inference.stopwatch import Stopwatch
from worker.jobs.cancellation import CancelToken
from worker.video.container import VideoInfo


def stored_video(runtime: Runtime, video: AskedVideo, token: CancelToken, watch: Stopwatch) -> str:
    """The sha256 of the video, which is in the store unless it has expired."""
    if video.url is None:
        assert video.sha256 is not None  # a request has one of them
        return video.sha256
    with runtime.url_videos.slot(), watch.stage("fetch"):
        if video.url.startswith(OBJECT_SCHEME):  # of a batch: other questions are refused before
            return runtime.object_videos.store(video.url, token)
        return runtime.url_videos.store(video.url, token)


def video_vectors(
    runtime: Runtime,
    loaded: Loaded,
    sha256: str,
    options: Options,
    token: CancelToken,
    watch: Stopwatch,
    *,
    live: bool = True,
) -> tuple[VideoVectors, bool]:
    """Frame features of a stored video, and whether they were cached. live: whether somebody waits for the answer; if
    not, the video's record stays as it is. The caller notes the facts in it."""
    views = Views.parse(options.views)
    frames = options.frames or loaded.recognizer.profile.frames
    key = video_key(sha256, loaded.recognizer, views, frames)

    def make(own: CancelToken) -> VideoVectors:
        return _decode_and_encode(runtime, loaded, sha256, views, frames, own, watch, live=live)

    return runtime.videos.get_or_make(key, token, make)


def _decode_and_encode(
    runtime: Runtime,
    loaded: Loaded,
    sha256: str,
    views: Views,
    frames: int,
    token: CancelToken,
    watch: Stopwatch,
    *,
    live: bool,
) -> VideoVectors:
    with watch.stage("decode"):
        clip = decode_video(runtime, loaded, sha256, views, frames, token, live=live)
    return encode_video(loaded, clip, token, watch)


def encode_video(loaded: Loaded, clip: DecodedClip, token: CancelToken, watch: Stopwatch) -> VideoVectors:
    """The frame features of a decoded video."""

    def forward(frames: Frames, clip_length: int) -> torch.Tensor:
        return loaded.towers.frames.encode(frames, token, clip_length)

    with watch.stage("encode"):
        features = loaded.recognizer.encode_clips(clip.frames, forward)  # [V, T, S, S, 3] → [V, T, d]
    info = clip.report.info
    DECODE_FRAMES.labels(codec_label(info.codec)).inc(features.shape[0] * features.shape[1])
    VIDEO_SECONDS.inc(info.duration)
    sampled = sorted({round(float(stamp), 3) for row in clip.report.timestamps for stamp in row})
    return VideoVectors(features, tuple(sampled), facts_of(info), tuple(clip.report.warnings))


def facts_of(info: VideoInfo) -> VideoFacts:
    return VideoFacts(
        duration=info.duration,
        width=info.width,
        height=info.height,
        fps=info.fps,
        codec=info.codec,
        container=info.container,
    )


def decode_video(
    runtime: Runtime,
    loaded: Loaded,
    sha256: str,
    views: Views,
    frames: int,
    token: CancelToken,
    *,
    live: bool = True,
    times: tuple[float, ...] | None = None,
) -> DecodedClip:
    """times: of the frames in seconds, in one view; None: as the model's profile samples them."""
    with ExitStack() as held:  # the file stays on this machine until it is decoded
        try:
            path = held.enter_context(runtime.store.local_file(blob_key(sha256)))
        except FileNotFoundError:
            raise UnknownVideo(
                f"The video {video_id(sha256)} is not stored; it may have expired.", hint="Upload it again."
            ) from None
        profile = loaded.recognizer.profile
        decoding = runtime.decoders.submit(path, profile=profile, views=views, frames=frames, times=times)
        try:
            with token.on_cancel(decoding.cancel):
                clip = decoding.result()
        except (UndecodableVideo, VideoTooLarge) as error:
            if not live:
                raise
            codec = codec_label(str(error.details.get("codec", "unknown")))
            DECODE_FAILURES.labels(codec, error.details.get("reason", "unknown")).inc()
            runtime.book.expire(sha256)
            raise
        if live:
            runtime.metering.count("video_seconds", clip.report.info.duration)
        return clip
