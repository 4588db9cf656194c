"""The client's types, from the OpenAPI description: answers as dataclasses, requests as typed dictionaries."""

from __future__ import annotations

import re
import textwrap
from functools import cache
from typing import Any

from core.batches.rows import BatchRow
from core.settings import Settings
from rendering.client.layout import ANSWERS, LEFT_OUT, NAMES, REQUESTS
from service.app import create_app

_WIDTH = 120
_SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
_HEAD = """\"\"\"{about}

Rendered from the server's OpenAPI description by docs/render.py.
\"\"\"

from __future__ import annotations

"""


@cache
def _schemas() -> dict[str, Any]:
    """Name → JSON schema of everything that the server reads and answers."""
    found: dict[str, Any] = dict(create_app(Settings()).openapi()["components"]["schemas"])
    rows = BatchRow.model_json_schema(ref_template="#/components/schemas/{model}")  # sent as lines: no route names it
    found.update(rows.pop("$defs", {}))
    return found | {"BatchRow": rows}


def answers_module(module: str) -> str:
    """Dataclasses of what the server answers about one subject."""
    about, names = ANSWERS[module]
    classes = [_dataclass(name) for name in names]
    body = "\n\n\n".join(classes)
    lines = ["from dataclasses import dataclass"]
    if "Any" in _words(body):
        lines.append("from typing import Any")
    lines += ["", "from vireo.schema.result import Result"]
    for other, (_, theirs) in sorted(ANSWERS.items()):
        used = sorted({_renamed(name) for name in theirs} & _words(body)) if other != module else []
        if used:
            lines.append(_import(f"vireo.schema.{other}", used))
    head, mine = lines[: lines.index("") + 1], sorted(lines[lines.index("") + 1 :])
    return _HEAD.format(about=about) + "\n".join([*head, *mine]) + f"\n\n\n{body}\n"


def requests_module(module: str) -> str:
    """Typed dictionaries of what methods of the client take by keyword."""
    about, names = REQUESTS[module]
    body = "\n\n\n".join(_typed_dictionary(name) for name in names)
    words = _words(body)
    collections = ", ".join(name for name in ("Mapping", "Sequence") if name in words)
    typing = ", ".join(name for name in ("Any", "Literal", "TypedDict") if name in words)
    imports = f"from collections.abc import {collections}\nfrom typing import {typing}"
    return _HEAD.format(about=about) + f"{imports}\n\n\n{body}\n"


def _dataclass(name: str) -> str:
    schema = _schemas()[name]
    lines = ["@dataclass(frozen=True, kw_only=True, slots=True)", f"class {_renamed(name)}(Result):"]
    lines += _docstring(schema.get("description"), of_class=True)
    for field, each in schema["properties"].items():
        lines.append(f"    {field}: {_answered(each)}")
        lines += _docstring(each.get("description"))
    return "\n".join(lines)


def _typed_dictionary(name: str) -> str:
    schema = _schemas()[name]
    lines = [f"class {name}(TypedDict, total=False):"]
    lines += _docstring(schema.get("description"), of_class=True)
    for field, each in schema["properties"].items():
        if field in LEFT_OUT.get(name, ()):
            continue
        kind = _asked(each)
        lines += _wrapped(field, kind if "None" in kind.split(" | ") else f"{kind} | None")
        lines += _docstring(each.get("description"))
    return "\n".join(lines)


def _answered(schema: dict[str, Any]) -> str:
    """A newer server may know more words than this client, so a choice of words is any text."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name.endswith("Links"):
            return "dict[str, str]"
        return _renamed(name) if "properties" in _schemas()[name] else _answered(_schemas()[name])
    if options := schema.get("anyOf") or schema.get("oneOf"):
        kinds = list(dict.fromkeys(_answered(each) for each in options))
        return "Any" if len([kind for kind in kinds if kind[0].isupper() and kind != "None"]) > 1 else " | ".join(kinds)
    if "const" in schema:
        return type(schema["const"]).__name__
    kind = schema.get("type")
    if kind == "array":
        return f"list[{_answered(schema.get('items', {}))}]"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"dict[str, {_answered(values) if isinstance(values, dict) else 'Any'}]"
    return "None" if kind == "null" else _SCALARS.get(str(kind), "Any")


def _asked(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        known = (each for _, names in REQUESTS.values() for each in names)
        return name if name in known else "Mapping[str, Any]"
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " | ".join(dict.fromkeys(_asked(each) for each in options))
    if "const" in schema or "enum" in schema:
        return f"Literal[{', '.join(_quoted(each) for each in schema.get('enum') or [schema['const']])}]"
    kind = schema.get("type")
    if kind == "array":
        return f"Sequence[{_asked(schema.get('items', {}))}]"
    if kind == "object":
        return "Mapping[str, Any]"
    return "None" if kind == "null" else _SCALARS.get(str(kind), "Any")


def _wrapped(field: str, kind: str) -> list[str]:
    line = f"    {field}: {kind}"
    if len(line) <= _WIDTH:
        return [line]
    words, _, rest = kind.removeprefix("Literal[").partition("]")
    listed = [f"            {word}," for word in words.split(", ")]
    return [f"    {field}: (", "        Literal[", *listed, f"        ]{rest}", "    )"]


def _docstring(text: str | None, *, of_class: bool = False) -> list[str]:
    """The lines of a docstring. An empty line follows that of a class."""
    if not text:
        return []
    lines = textwrap.wrap(" ".join(text.split()).replace("\\", "\\\\"), _WIDTH - 11)
    below = [""] if of_class else []
    if len(lines) == 1 and not lines[0].endswith('"'):
        return [f'    """{lines[0]}"""', *below]
    return [f'    """{lines[0]}', *(f"    {line}" for line in lines[1:]), '    """', *below]


def _import(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in names), ")"])


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _renamed(name: str) -> str:
    return NAMES.get(name, name)


def _words(text: str) -> set[str]:
    code = re.sub(r'""".*?"""', "", text, flags=re.DOTALL)
    return set(re.findall(r"\w+", code))
