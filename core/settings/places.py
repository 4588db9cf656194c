"""Where the server listens, where its data is, and how it logs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator

from core.settings.kinds import GIB, Names


class Places(BaseModel):
    """Addresses, directories and logs."""

    host: str = Field("127.0.0.1", description="Address that the gateway listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port that the gateway listens on.")
    trusted_hosts: Names = Field(
        frozenset(),
        description="Names by which the gateway is reached besides `VIREO_HOST`, the loopback names and IP addresses, "
        "separated by commas. `*.example.org`: all names below it; `*`: any name, which lets any web page in a "
        "user's browser use the gateway.",
    )
    player_origins: Names = Field(
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
        description="Seconds between two searches for what this machine still keeps of things that have been deleted: "
        "copies of files of a remote store, features of datasets, graphs of models. The search deletes it; it is not "
        "used in the meantime.",
    )
    redis_url: str | None = Field(
        None,
        exclude=True,  # it may have a password, and settings are written into files for child processes
        repr=False,
        description="Redis for jobs and label sets. Default: `vireo up` starts an embedded one in the data directory.",
    )
    redis_cache_url: str | None = Field(
        None,
        exclude=True,
        repr=False,
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

    @field_validator("player_origins")
    @classmethod
    def _origins_have_no_path(cls, origins: frozenset[str]) -> frozenset[str]:
        if wrong := sorted(origin for origin in origins if not re.fullmatch(r"https?://[^\s/?#@]+", origin)):
            raise ValueError(f"{wrong[0]!r} is not an origin such as http://localhost:8080")
        return origins

    @field_validator("redis_url", "redis_cache_url")
    @classmethod
    def _redis_has_an_address(cls, url: str | None) -> str | None:
        """The URL is in no message: it may have a password."""
        try:
            address = urlsplit(url or "unix://")
            address.port  # noqa: B018 - it raises if the port is no number
        except ValueError:
            raise ValueError("it is no URL such as redis://host:6379/0") from None
        if address.scheme not in ("redis", "rediss", "unix"):
            raise ValueError("it does not begin with redis://, rediss:// or unix://")
        return url

    @property
    def store_url(self) -> str:
        return self.store or (self.data_dir / "store").absolute().as_uri()

    @property
    def training_dir(self) -> Path:
        """Temporary files of training runs on this machine. Everything that must last is in the store."""
        return self.data_dir.absolute() / "training"

    @property
    def features_dir(self) -> Path:
        """Frozen features of dataset clips on this machine."""
        return self.data_dir.absolute() / "features"

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
