"""API keys. A key is shown once, when it is made; what is stored can recognise it but not reproduce it.

    vireo_<id>_<secret>     id: 12 hexadecimal digits, to find the record; secret: 256 random bits

A secret of 256 random bits cannot be guessed from its SHA-256, so no slow password hash is needed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from core.access.scopes import SCOPES, Scope, allows
from core.projects import DEFAULT_PROJECT, PROJECT_PATTERN

_TOKEN = re.compile(r"vireo_(?P<id>[0-9a-f]{12})_(?P<secret>[A-Za-z0-9_-]{43})")
_NOBODY = hashlib.sha256(b"").hexdigest()

Project = Annotated[str, Field(pattern=f"^{PROJECT_PATTERN}$")]


class Quotas(BaseModel):
    """What a key may use. null: as much as it likes."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    requests_per_minute: int | None = Field(None, ge=1, description="requests in one minute")
    video_seconds_per_day: int | None = Field(None, ge=1, description="seconds of video decoded in 24 hours")
    training_minutes_per_day: int | None = Field(None, ge=1, description="minutes of training in 24 hours")
    stored_bytes: int | None = Field(None, ge=1, description="bytes of videos and datasets stored in the key's project")


class ApiKey(BaseModel):
    """A key as it is stored: everything but its secret."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    name: str = Field(description="what the key is for, in the operator's words")
    project: Project = Field(DEFAULT_PROJECT, description="the project whose videos, jobs, datasets and models it sees")
    scopes: tuple[Scope, ...]
    digest: str = Field(description="SHA-256 of the secret, in hexadecimal digits")
    created_at: float = Field(description="unix seconds")
    expires_at: float | None = Field(None, description="unix seconds; null: never")
    quotas: Quotas = Quotas()

    def allows(self, scope: Scope) -> bool:
        return allows(self.scopes, scope)

    def expired(self, now: float) -> bool:
        """`now`: unix seconds."""
        return self.expires_at is not None and now >= self.expires_at


UNGUARDED: Final = ApiKey(id="", name="no key", scopes=SCOPES, digest="", created_at=0.0)
"""Who asks a server that needs no keys."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a client sends."""

    id: str
    secret: str

    def __str__(self) -> str:
        return f"vireo_{self.id}_{self.secret}"

    def __repr__(self) -> str:
        return f"Token({self.id})"  # a secret must not reach a log or a traceback

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.secret.encode()).hexdigest()

    def opens(self, key: ApiKey | None) -> bool:
        """Whether this is the token of `key`. It takes the same time for every key, and for none."""
        return hmac.compare_digest(self.digest, key.digest if key else _NOBODY) and key is not None


def new_token() -> Token:
    return Token(secrets.token_hex(6), secrets.token_urlsafe(32))


def read_token(text: str) -> Token | None:
    """None for a text that is no token."""
    match = _TOKEN.fullmatch(text)
    return Token(match["id"], match["secret"]) if match else None


UNGUARDED_WORDS: Final = (
    "Others can reach {host}, and there is no API key yet. Make one with `vireo keys create NAME --scope admin`, "
    "or set VIREO_KEYS=off to let everyone who reaches the gateway do everything."
)
"""Why a gateway does not start."""
