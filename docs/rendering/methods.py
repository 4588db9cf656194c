"""The table of training methods."""

from __future__ import annotations

from core.vocabulary import METHOD_RECIPES
from models.fitting.methods import METHODS
from rendering.markdown import code, table

_WORDS = {
    "image_tower": "image tower",
    "text_tower": "text tower",
    "head": "temporal head",
    "scale": "scale s",
    "prompts": "context vectors",
}


def methods_table() -> str:
    rows = [
        (
            code(method.name),
            method.about,
            ", ".join(word for role, word in _WORDS.items() if role in method.moves),
            ", ".join(code(recipe) for recipe in METHOD_RECIPES[method.name]),
        )
        for method in METHODS.values()
    ]
    return table(("method", "what it is", "what moves", "recipes"), rows)
