"""What one request and one connection may ask for."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from core.questions import LONGEST_STRIDE, LONGEST_TEXT, MOST_FRAMES, MOST_LABELS, MOST_OVERLAP, SHORTEST_STRIDE
from core.settings.kinds import GIB, Names, Prefixes


class RequestLimits(BaseModel):
    """Limits of a request."""

    max_upload_bytes: int = Field(2 * GIB, ge=1, description="Largest upload of a video, in bytes.")
    max_json_bytes: int = Field(
        2 << 20,
        ge=1 << 10,
        description="Largest JSON body, and most bytes of the text fields of a form. A video in base64 does not count.",
    )
    max_video_seconds: float = Field(3600.0, gt=0, description="Longest video, in seconds.")
    max_video_pixels: int = Field(8192 * 4352, ge=1, description="Largest frame, in pixels (width × height).")
    max_labels: int = Field(1000, ge=1, le=MOST_LABELS, description="Most labels in one question.")
    max_texts: int = Field(
        20_000,
        ge=1,
        description="Most texts that one question may need: labels times templates, plus the prompts of labels that "
        "have their own.",
    )
    max_label_chars: int = Field(
        500, ge=1, le=LONGEST_TEXT, description="Longest label, prompt or template, in characters."
    )
    max_label_set_versions: int = Field(
        1000, ge=1, description="Most versions of one label set. A PUT beyond it gets 409 until some are deleted."
    )
    max_frames: int = Field(64, ge=1, le=MOST_FRAMES, description="Most frames per view in one question.")
    timeline_stride: float = Field(
        1.0, ge=SHORTEST_STRIDE, le=LONGEST_STRIDE, description="Seconds between two points of a timeline."
    )
    timeline_window: float = Field(
        1.0,
        ge=SHORTEST_STRIDE,
        le=LONGEST_STRIDE,
        description="Seconds of video that each point of a timeline sees. A request that changes only the stride "
        "changes the window in proportion.",
    )
    max_timeline_points: int = Field(4000, ge=8, description="Most points of one timeline.")
    max_timeline_values: int = Field(
        400_000, ge=8, description="Most similarities in one timeline: its points times the labels of the question."
    )
    max_search_windows: int = Field(
        500_000,
        ge=1,
        description="Most windows of stored videos that one worker keeps in memory for the search with one model. The "
        "newest videos come first.",
    )
    allowed_hosts: Names = Field(
        frozenset(),
        description="Hosts with private addresses that `video_url` may name, separated by commas.",
    )
    max_batch_items: int = Field(100_000, ge=1, le=1_000_000, description="Most videos in one batch.")
    batch_window: int = Field(
        8,
        ge=1,
        description="Most questions of one batch that wait or run at the same time. While other jobs wait, a batch "
        "asks fewer, and at least one.",
    )
    batch_prefixes: Prefixes = Field(
        frozenset(),
        description="Prefixes of objects that a batch may read, separated by commas, such as `s3://bucket/videos/`. "
        "Workers read them with their own credentials. Default: none.",
    )

    webhook_secret: SecretStr | None = Field(
        None,
        min_length=16,
        exclude=True,  # settings are written into files for child processes, which have no use for it
        description="Signs webhooks (HMAC-SHA256), so that their receiver knows the sender: `whsec_` and base64, or "
        "any text. Without it, requests with a webhook are refused.",
    )

    @field_validator("batch_prefixes", mode="after")
    @classmethod
    def _are_prefixes(cls, value: frozenset[str]) -> frozenset[str]:
        for prefix in value:
            if not prefix.removeprefix("s3://").strip("/") or not prefix.startswith("s3://"):
                raise ValueError(f"{prefix!r} is no prefix of objects; one looks like s3://bucket/videos/")
        return value

    @model_validator(mode="after")
    def _windows_follow_each_other(self) -> Self:
        if not self.timeline_stride <= self.timeline_window <= MOST_OVERLAP * self.timeline_stride:
            raise ValueError(
                f"VIREO_TIMELINE_WINDOW must be between VIREO_TIMELINE_STRIDE and {MOST_OVERLAP} times as much"
            )
        return self


class ConnectionLimits(BaseModel):
    """Limits of a connection."""

    max_connections: int = Field(
        512,
        ge=1,
        description="Most open connections. One more takes the place of the connection that has been silent longest; "
        "where none is silent, it gets 503.",
    )
    max_bodies: int = Field(
        64, ge=1, description="Most requests whose body is arriving at the same time. One more gets 503."
    )
    max_header_bytes: int = Field(32 << 10, ge=1 << 10, description="Largest URL and headers of a request, in bytes.")
    max_headers: int = Field(100, ge=10, description="Most headers of a request.")
    header_timeout: float = Field(
        10.0, gt=0, description="Seconds in which the URL and the headers of a request have to arrive."
    )
    body_timeout: float = Field(
        20.0,
        gt=0,
        description="Seconds that a client may neither send its body nor read its answer. A body gets 408 after them.",
    )
    min_body_rate: int = Field(
        1000,
        ge=1,
        description="Slowest body, in bytes per second on average, beyond the seconds of `VIREO_BODY_TIMEOUT`.",
    )
