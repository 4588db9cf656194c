"""Bodies about API keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from core.access.keys import ApiKey, Quotas
from core.access.scopes import Scope


class SessionBody(BaseModel):
    """What a browser signs in with."""

    model_config = ConfigDict(extra="forbid")

    key: SecretStr = Field(min_length=1, max_length=200, description="an API key")


class KeyView(BaseModel):
    """An API key without its secret. Without an id: this server needs no key."""

    id: str | None
    name: str
    project: str
    scopes: list[Scope]
    expires_at: float | None = Field(description="unix seconds; null: never")
    quotas: Quotas

    @classmethod
    def of(cls, key: ApiKey) -> KeyView:
        """The view of a key."""
        shown = key.model_dump(include={"name", "project", "scopes", "expires_at", "quotas"})
        return cls.model_validate(shown | {"id": key.id or None})
