"""The frames that a model looks at, as one picture. The video is decoded again, because frames are not cached."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from core.questions import FramesRequest
from core.records import FrameSheet, Job, VideoRef, video_id
from core.state.payloads import PictureName
from models.frames.arrays import UInt8Array
from models.frames.sampling import Views
from worker.inference.explanation.answer import KeepPicture
from worker.inference.runtime import Runtime
from worker.inference.video_vectors import decode_video, facts_of
from worker.jobs.cancellation import CancelToken

PICTURE: PictureName = "frames.jpg"
TILE = 160  # pixels
COLUMNS = 16  # tiles in a row, so that a picture of 1,024 frames is smaller than the 65,500 pixels of a JPEG
_QUALITY = 80


def answer_frames(runtime: Runtime, job: Job, token: CancelToken, keep: KeepPicture) -> dict[str, Any]:
    """`keep`: puts the picture beside the job. Raises: VireoError."""
    request = FramesRequest.model_validate(job.request, extra="ignore")
    loaded = runtime.shelf.get(request.model, token)
    count = request.frames or loaded.recognizer.profile.frames
    clip = decode_video(runtime, loaded, request.sha256, Views(1, 1), count, token)
    picture = draw_tiles(clip.frames[0])  # [T, S, S, 3]
    keep(PICTURE, _as_jpeg(picture))
    answer = FrameSheet(
        id=job.id,
        model=loaded.ref.name,
        video=VideoRef(id=video_id(request.sha256), **facts_of(clip.report.info).model_dump()),
        frames=[round(float(time), 3) for time in clip.report.timestamps[0]],
        url=f"/v1/jobs/{job.id}/files/{PICTURE}",
        width=picture.width,
        height=picture.height,
        tile=TILE,
        columns=min(len(clip.frames[0]), COLUMNS),
        warnings=list(clip.report.warnings),
    )
    return answer.model_dump(mode="json")


def draw_tiles(frames: UInt8Array) -> Image.Image:
    """frames: uint8 [T, S, S, 3], sRGB."""
    columns, rows = min(len(frames), COLUMNS), -(-len(frames) // COLUMNS)
    picture = Image.new("RGB", (columns * TILE, rows * TILE))
    for number, frame in enumerate(frames):
        tile = Image.fromarray(frame).resize((TILE, TILE), Image.Resampling.BICUBIC)
        picture.paste(tile, (number % COLUMNS * TILE, number // COLUMNS * TILE))
    return picture


def _as_jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=_QUALITY)
    return file.getvalue()
