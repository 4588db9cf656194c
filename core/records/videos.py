"""Stored videos: their facts, and what was last answered about them."""

from __future__ import annotations

from pydantic import Field

from core.records.base import Record


def video_id(sha256: str) -> str:
    return f"vid_{sha256}"


class VideoFacts(Record):
    """Facts from the video container. Width and height are those after rotation."""

    duration: float = Field(description="seconds")
    width: int
    height: int
    fps: float | None = None
    codec: str
    container: str | None = None


class VideoRef(VideoFacts):
    id: str = Field(examples=["vid_6f3a…"])


class LastAnswer(Record):
    """What the last question about a video was answered: of those with two labels at least, in the mode `single`."""

    job: str = Field(description="id of its job")
    model: str = Field(description="the model that answered; a fine-tuned one as `name:version`")
    label: str = Field(description="the best label")
    score: float = Field(description="its score, 0 to 1")
    confidence: float | None = Field(None, description="its confidence; null if the model is not calibrated")
    uncertainty: float = Field(
        description="1 minus the margin, which is the best score minus the second best: 0 is certain, 1 undecided"
    )
    at: float = Field(description="unix seconds")


class StoredVideo(Record):
    """A stored video. Its bytes are in the store once, as `blobs/<sha256>`, even if it was sent several times."""

    sha256: str
    bytes: int
    kept: bool = Field(description="true: stored until it is deleted; false: stored until `expires_at`")
    created_at: float
    expires_at: float | None = None
    facts: VideoFacts | None = Field(None, description="null until a worker has decoded the video")
    tags: tuple[str, ...] = ()
    metadata: dict[str, str] = Field(default_factory=dict)
    answer: LastAnswer | None = None

    @property
    def id(self) -> str:
        return video_id(self.sha256)
