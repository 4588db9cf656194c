"""The evaluation protocols, from the catalogue."""

from __future__ import annotations

from core.protocols.catalogue import PROTOCOLS
from rendering.markdown import code, table


def protocols_table() -> str:
    return table(
        ("protocol", "what it does", "what it repeats"),
        [(code(protocol.name), protocol.about, protocol.source) for protocol in PROTOCOLS.values()],
    )
