"""The header `Server-Timing` of an answer: the stages of its question, as browsers and proxies read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from core.records import Timings
from service.http.openapi import Responses

TIMED: Final[Responses] = {
    200: {
        "headers": {
            "Server-Timing": {
                "description": "`timings_ms` of the answer as a W3C header: each stage and its milliseconds.",
                "schema": {
                    "type": "string",
                    "pattern": r"^[a-z]+;dur=[0-9.]+(, [a-z]+;dur=[0-9.]+)*$",
                    "examples": ["queue;dur=1.20, decode;dur=81.00, encode;dur=190.30, total;dur=274.10"],
                },
            }
        }
    }
}
"""The `responses` of a route whose answers have `timings_ms`."""


def server_timing(result: Mapping[str, Any]) -> dict[str, str]:
    """The header for the result of a job. A result without `timings_ms` gets none."""
    found = result.get("timings_ms")
    if found is None:
        return {}
    stages = Timings.model_validate(found).model_dump()
    return {"Server-Timing": ", ".join(f"{name};dur={milliseconds:.2f}" for name, milliseconds in stages.items())}
