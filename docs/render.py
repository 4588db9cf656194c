"""Renders the tables of docs/ that come from the code: `make docs`. Tests fail where a table is stale."""

from __future__ import annotations

from pathlib import Path

from core.errors import BY_CODE
from core.settings import Settings

DOCS = Path(__file__).parent
BEGIN, END = "<!-- rendered: {} -->", "<!-- end -->"


def settings_table() -> str:
    rows = ["| variable | default | what it does |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "(none)" if default in (None, frozenset()) else f"`{default}`"
        rows.append(f"| `VIREO_{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


def errors_table() -> str:
    rows = ["| status | code | `Retry-After` |", "|---|---|---|"]
    rows += [
        f"| {kind.status} | `{kind.code}` | {f'{kind.retry_after} s' if kind.retry_after else ''} |"
        for kind in sorted(BY_CODE.values(), key=lambda kind: (kind.status, kind.code))
    ]
    return "\n".join(rows)


TABLES = {"configuration.md": ("settings", settings_table), "api.md": ("errors", errors_table)}


def rendered(page: str, name: str, table: str) -> str:
    """The page with the block between its markers replaced. Raises: ValueError where the markers are missing."""
    begin = BEGIN.format(name)
    head, mark, rest = page.partition(begin)
    _, end, tail = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"the page lacks {begin} … {END}")
    return f"{head}{begin}\n{table}\n{END}{tail}"


def main() -> None:
    for file, (name, table) in TABLES.items():
        path = DOCS / file
        path.write_text(rendered(path.read_text(encoding="utf-8"), name, table()), encoding="utf-8")


if __name__ == "__main__":
    main()
