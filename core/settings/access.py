"""Who may use the gateway."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal

from pydantic import BaseModel, Field, field_validator

from core.settings.kinds import Names

CLOSABLE = frozenset({"metrics", "docs"})


class Access(BaseModel):
    """API keys, and what may be read without one."""

    keys: Literal["auto", "required", "off"] = Field(
        "auto",
        description="Whether requests need an API key. `auto`: on a loopback address only once there is a key, and on "
        "any other address always; without a key the gateway does not start there. `required`: always. `off`: never, "
        "so everyone who reaches the gateway may do everything.",
    )
    published_host: str | None = Field(
        None,
        description="Address under which the gateway is reached from outside, if it is not `VIREO_HOST`: in a "
        "container, the address of the host that its port is published on.",
    )
    closed: Names = Field(
        frozenset(),
        description="What is not shown without a key, separated by commas: `metrics` (then a key with the scope "
        "`admin` is needed) and `docs` (any key).",
    )

    @field_validator("closed")
    @classmethod
    def _are_closable(cls, names: frozenset[str]) -> frozenset[str]:
        if unknown := sorted(names - CLOSABLE):
            raise ValueError(f"{unknown[0]!r} cannot be closed; metrics and docs can")
        return names


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
