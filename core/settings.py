"""All settings of Vireo: environment variables with the prefix `VIREO_`.

`docs/configuration.md` is rendered from this class. Sizes are bytes, durations are seconds, frame sizes are pixels.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from core.questions import LONGEST_STRIDE, LONGEST_TEXT, MOST_FRAMES, MOST_LABELS, MOST_OVERLAP, SHORTEST_STRIDE

GIB = 1 << 30


class SettingsFiles(PydanticBaseSettingsSource):
    """`VIREO_…_FILE` names a file that holds the value of `VIREO_…`, as containers get their secrets.

    Raises: ValueError if a file cannot be read.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        variable = f"{self.config['env_prefix']}{field_name.upper()}_FILE"
        path = os.environ.get(variable)
        if not path:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{variable} names the file {path}, which cannot be read: {error}") from error

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value}


class Settings(BaseSettings):
    """Read once at start, and frozen: settings do not change while a process runs."""

    model_config = SettingsConfigDict(env_prefix="VIREO_", frozen=True, extra="ignore", env_ignore_empty=True)

    # addresses and places
    host: str = Field("127.0.0.1", description="Address that the gateway listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port that the gateway listens on.")
    trusted_hosts: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(),
        description="Names by which the gateway is reached besides `VIREO_HOST`, the loopback names and IP addresses, "
        "separated by commas. `*.example.org`: all names below it; `*`: any name, which lets any web page in a "
        "user's browser use the gateway.",
    )
    player_origins: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(),
        description="Other sites whose pages may play stored videos, separated by commas, such as "
        "`http://localhost:8080` of a Label Studio.",
    )
    data_dir: Path = Field(
        Path(".vireo"), description="Directory for all data of this installation: Redis data, uploads, models, sockets."
    )
    store: str | None = Field(
        None,
        description="Artifact store as an fsspec URL (`s3://…`). Default: the directory `store` in the data directory.",
    )
    spool_bytes: int = Field(
        20 * GIB,
        ge=1,
        description="Most bytes of this machine's copies of files from a remote store. The least recently used copy is "
        "deleted first, and never one that is in use.",
    )
    spool_check_seconds: float = Field(
        60.0,
        gt=0,
        description="Seconds between two searches for copies of files that a remote store no longer has. The search "
        "deletes them; they are not used in the meantime.",
    )
    redis_url: str | None = Field(
        None,
        description="Redis for jobs and label sets. Default: `vireo up` starts an embedded one in the data directory.",
    )
    redis_cache_url: str | None = Field(
        None,
        description="Redis for caches only, which may evict anything. Default: the same as `VIREO_REDIS_URL`.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level of the messages that are logged."
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        description="Form of the log lines of the gateway and the workers: text for people, or one JSON object per "
        "line for programs.",
    )

    # the recogniser
    model: str = Field(
        "auto",
        description="Model for requests that name none. `auto`: `clip-b16` if its weights are available, else `lite`.",
    )
    weights: Path | None = Field(
        None, description="Local weights file (.safetensors or .pt) for `VIREO_MODEL`, instead of a download."
    )
    device: str = Field("auto", description="`auto`, `cpu`, `cuda` or `cuda:N`.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="`auto`: bf16 on GPUs and CPUs with native support, otherwise fp32."
    )
    model_memory: int = Field(
        6 * GIB,
        ge=1,
        description="Memory for the models of one worker, in bytes. The least recently used model is dropped first.",
    )

    # the worker
    worker_threads: int = Field(8, ge=1, description="Requests that one worker handles at the same time.")
    batch_frames: int = Field(64, ge=1, description="Most frames in one forward pass of the image tower.")
    batch_wait_ms: float = Field(
        2.0, ge=0, description="Longest wait for other requests to share a forward pass, in milliseconds."
    )
    batch_texts: int = Field(128, ge=1, description="Most texts in one forward pass of the text tower.")
    inference_deadline: float = Field(
        300.0,
        gt=0,
        description="Longest time that a worker works on one question or embedding, in seconds. After it the answer is "
        "504.",
    )
    decode_processes: int = Field(2, ge=1, description="Child processes of one worker that decode videos.")
    decode_deadline: float = Field(30.0, gt=0, description="Seconds after which the decoding of a video is stopped.")
    decode_memory: int = Field(4 * GIB, ge=256 << 20, description="Most memory for decoding one video, in bytes.")
    lease_seconds: float = Field(
        15.0,
        ge=1,
        description="Seconds without a heartbeat after which a worker counts as dead and its jobs go to another one.",
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65533,
        description="Port of the worker's own /metrics. Default: none; under `vireo up` the gateway exports them. With "
        "a port, `vireo up` gives it to the first worker and the next two ports to the others.",
    )

    # training
    training_processes: int = Field(
        0, ge=0, description="Processes of one training run. 0: one per GPU, or one process without a GPU."
    )
    max_archive_bytes: int = Field(
        20 * GIB, ge=1, description="Largest upload of a dataset archive or a checkpoint, in bytes."
    )
    max_dataset_bytes: int = Field(100 * GIB, ge=1, description="Largest unpacked dataset, in bytes.")
    max_dataset_files: int = Field(200_000, ge=1, description="Most files in one dataset.")

    # limits of a request
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
    allowed_hosts: Annotated[frozenset[str], NoDecode] = Field(
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
    batch_prefixes: Annotated[frozenset[str], NoDecode] = Field(
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

    # limits of a connection
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

    # waiting times and times to live
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
    cache_ttl: int = Field(
        7 * 24 * 3600,
        ge=60,
        description="Seconds that classifier rows and video features stay in the Redis cache.",
    )

    # what Redis keeps of jobs
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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """A file is named on purpose, so it counts more than a value, which may be a default of the compose file."""
        return init_settings, SettingsFiles(settings_cls), env_settings, dotenv_settings, file_secret_settings

    @field_validator("allowed_hosts", "trusted_hosts", "player_origins", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return frozenset(h.strip().lower() for h in value.split(",") if h.strip()) if isinstance(value, str) else value

    @field_validator("batch_prefixes", mode="before")
    @classmethod
    def _split_prefixes(cls, value: object) -> object:
        return frozenset(p.strip() for p in value.split(",") if p.strip()) if isinstance(value, str) else value

    @field_validator("batch_prefixes", mode="after")
    @classmethod
    def _are_prefixes(cls, value: frozenset[str]) -> frozenset[str]:
        for prefix in value:
            if not prefix.removeprefix("s3://").strip("/") or not prefix.startswith("s3://"):
                raise ValueError(f"{prefix!r} is no prefix of objects; one looks like s3://bucket/videos/")
        return value

    @field_validator("player_origins")
    @classmethod
    def _origins_have_no_path(cls, origins: frozenset[str]) -> frozenset[str]:
        if wrong := sorted(origin for origin in origins if not re.fullmatch(r"https?://[^\s/?#@]+", origin)):
            raise ValueError(f"{wrong[0]!r} is not an origin such as http://localhost:8080")
        return origins

    @model_validator(mode="after")
    def _windows_follow_each_other(self) -> Self:
        if not self.timeline_stride <= self.timeline_window <= MOST_OVERLAP * self.timeline_stride:
            raise ValueError(
                f"VIREO_TIMELINE_WINDOW must be between VIREO_TIMELINE_STRIDE and {MOST_OVERLAP} times as much"
            )
        return self

    @property
    def store_url(self) -> str:
        return self.store or (self.data_dir / "store").absolute().as_uri()

    @property
    def training_dir(self) -> Path:
        """Temporary files of training runs on this machine. Everything that must last is in the store."""
        return self.data_dir.absolute() / "training"

    @property
    def run_dir(self) -> Path:
        """Sockets, pids and metric files of the running processes. It is emptied at start."""
        return self.data_dir.absolute() / "run"

    @property
    def jobs_redis(self) -> str:
        return self.redis_url or "redis://127.0.0.1:6379/0"

    @property
    def cache_redis(self) -> str:
        return self.redis_cache_url or self.jobs_redis


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    return Settings()
