"""A request that schemathesis made, as the hooks see it, and the names that exist in the service.

The environment variable VIREO_CONTRACT_DATA names the file with these names (`furniture.py`).
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import zlib
from pathlib import Path
from typing import Any

from schemathesis.core.parameters import ParameterLocation

DATA: dict[str, Any] = json.loads(Path(os.environ["VIREO_CONTRACT_DATA"]).read_text(encoding="utf-8"))
CLIP = base64.b64decode(DATA["clip"])

numbers = itertools.count(1)


def fits(case: Any, location: ParameterLocation) -> bool:
    """Whether this part of the request fits the document. An example of the document has one verdict for all parts."""
    if case.meta is None:
        return False
    return bool(case.meta.components.get(location, case.meta.generation).mode.is_positive)


def follows_a_link(case: Any) -> bool:
    """A step of a stateful run takes its names from the answer before it."""
    return bool(case.meta.phase.name.value == "stateful")


def draw(case: Any) -> int:
    """A number that depends on the request alone."""
    parts = (case.method, case.path, case.path_parameters, case.query, case.body)
    return zlib.crc32(repr(parts).encode(errors="replace"))


def is_form(case: Any) -> bool:
    return bool(case.media_type == "multipart/form-data")
