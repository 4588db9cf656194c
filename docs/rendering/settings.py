"""The table of settings."""

from __future__ import annotations

from core.settings import Settings
from rendering.markdown import code, table


def settings_table() -> str:
    return table(
        ("variable", "default", "what it does"),
        [
            (
                code(f"VIREO_{name.upper()}"),
                _shown(field.get_default(call_default_factory=True)),
                field.description or "",
            )
            for name, field in Settings.model_fields.items()
        ],
    )


def _shown(default: object) -> str:
    return "(none)" if default in (None, frozenset()) else code(str(default))
