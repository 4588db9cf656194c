"""The content address of a row of W. It covers everything that shapes the row.

It covers the text tower's weights and tokenizer, the texts, and the rules that made them, so an edited label or
template never gets an outdated row. (The released code names its file by dataset and architecture only.)
"""

from __future__ import annotations

from collections.abc import Sequence

from models.profiles.prompts import NORMALISER_VERSION
from models.weights.digests import digest


def row_key(
    label: str,
    prompts: Sequence[str] | None,
    templates: Sequence[str],
    *,
    normalise: bool,
    text_digest: str,
    device_type: str,
) -> str:
    """text_digest: of the text encoder; device_type: where it runs. Texts are encoded in fp32 everywhere, but each type
    of device rounds differently. Prompts replace templates, so templates do not count beside them."""
    return digest(
        "row",
        text_digest,
        device_type,
        label,
        None if prompts is None else tuple(prompts),
        None if prompts is not None else tuple(templates),
        NORMALISER_VERSION if normalise else None,
    )
