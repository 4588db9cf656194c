"""Texts that fit almost any video. How similar a video is to them says how much a similarity to a label means."""

from __future__ import annotations

from typing import Final

NULL_PROMPTS: Final = (
    "a video.",
    "a picture of something.",
    "nothing in particular.",
    "something else.",
    "a blurry picture.",
    "a dark picture.",
    "a black screen.",
    "a plain background.",
    "text on a screen.",
    "a close-up of an object.",
    "an empty room.",
    "a room with furniture.",
    "a wall.",
    "a floor.",
    "a building.",
    "a street.",
    "a landscape.",
    "trees and grass.",
    "the sky.",
    "water.",
    "an indoor scene.",
    "an outdoor scene.",
    "a person.",
    "a face.",
    "hands.",
    "several people.",
    "a crowd.",
    "a person standing.",
    "a person sitting.",
    "a person walking.",
    "a person talking.",
    "people doing something.",
)
"""Whole sentences: templates do not apply to them. A calibration holds for the list that it was fitted with, and names
its length and version."""

NULL_VERSION: Final = 1
"""Raise it whenever the list changes."""
