"""Architectures that open_clip does not list, given by their configuration. A local checkpoint's card may bring its
own.

They are named by content, so that the same name means the same network in every process and every version.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip

from models.weights.digests import digest

CONFIG = "architecture.json"
_PREFIX = "custom-"
_folder: tempfile.TemporaryDirectory[str] | None = None  # open_clip reads configurations from files, more than once


def register_architecture(config: Mapping[str, Any]) -> str:
    """open_clip's name for the configuration from now on. config: `embed_dim`, `vision_cfg`, `text_cfg`, as in
    open_clip's own files. Raises: ValueError."""
    if missing := {"embed_dim", "vision_cfg", "text_cfg"} - set(config):
        raise ValueError(f"an architecture needs {', '.join(sorted(missing))}")
    text = json.dumps(config, sort_keys=True)
    name = _PREFIX + digest(text)[:16]
    if open_clip.get_model_config(name) is None:
        path = _config_folder() / f"{name}.json"
        path.write_text(text, encoding="utf-8")
        open_clip.add_model_config(path)
    return name


def registered_config(name: str) -> dict[str, Any] | None:
    """The configuration of a registered architecture, which is saved beside its weights; None for open_clip's own."""
    return dict(open_clip.get_model_config(name) or {}) if name.startswith(_PREFIX) else None


def _config_folder() -> Path:
    global _folder
    if _folder is None:
        _folder = tempfile.TemporaryDirectory(prefix="vireo-")
    return Path(_folder.name)
