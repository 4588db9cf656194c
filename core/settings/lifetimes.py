"""How long requests wait, and how long and how much is kept."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Lifetimes(BaseModel):
    """Waiting times, times to live, and what Redis keeps of jobs."""

    sync_deadline: float = Field(
        60.0,
        gt=0,
        description="Longest wait of a request for its job, in seconds. After it the answer is 202 with the job.",
    )
    queue_limit: int = Field(256, ge=1, description="Most unfinished jobs in each queue. Requests beyond it get 429.")
    job_ttl: int = Field(
        24 * 3600,
        ge=60,
        description="Seconds that a job is stored after it has finished: training, evaluations, datasets, imports.",
    )
    answer_ttl: int = Field(
        4 * 3600,
        ge=60,
        description="Seconds that the answer to a question (classify, embed, explain) is stored. Until then its job "
        "can be read, and its `Idempotency-Key` stands for it.",
    )
    video_ttl: int = Field(
        24 * 3600,
        ge=60,
        description="Seconds that a video is stored after its last use, unless it is kept with POST /v1/videos.",
    )
    max_stored_bytes: int | None = Field(
        None,
        ge=1,
        description="Most bytes of the stored videos of a project. Beyond it, videos that are not kept are deleted, "
        "the least recently used first, except those that an unfinished job needs. Default: no limit.",
    )
    cache_ttl: int = Field(
        7 * 24 * 3600,
        ge=60,
        description="Seconds that classifier rows and video features stay in the Redis cache.",
    )

    job_inline_bytes: int = Field(
        16 << 10,
        ge=1024,
        description="Largest request or result of a job that is kept in Redis, in bytes. A larger one is in the store.",
    )
    max_job_request_bytes: int = Field(
        4 << 20, ge=1024, description="Largest request of a job, in bytes of JSON without the video."
    )
    max_finished_jobs: int = Field(
        20_000, ge=1, description="Most finished jobs that are stored. The oldest is deleted first."
    )
    max_finished_bytes: int = Field(
        256 << 20,
        ge=1 << 20,
        description="Memory of finished jobs in Redis, in bytes; never more than a quarter of Redis's `maxmemory`. The "
        "oldest is deleted first.",
    )
