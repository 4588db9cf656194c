"""The fields of request bodies and records, from the pydantic models."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel

from rendering.markdown import code, codes, table

_BOUNDS = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))


def fields_table(model: type[BaseModel], *, defaults: bool = True, without: Collection[str] = ()) -> str:
    """Name, type, default and description of each field. `defaults` is False for what the server answers."""
    schema = model.model_json_schema()
    required = schema.get("required", ())
    rows = []
    for name, field in schema["properties"].items():
        if name in without:
            continue
        default = ["required" if name in required else _value(field.get("default"))] if defaults else []
        rows.append((code(name), type_of(field, schema.get("$defs", {})), *default, field.get("description", "")))
    return table(("field", "type", *(["default"] if defaults else []), "what it is"), rows)


def type_of(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """The JSON type in words, with its bounds. That null is allowed as well is not repeated."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        target = definitions[name]
        return name if target.get("type") == "object" else type_of(target, definitions)
    if choices_of := field.get("anyOf") or field.get("oneOf"):
        choices = (type_of(choice, definitions) for choice in choices_of if choice.get("type") != "null")
        return " or ".join(dict.fromkeys(choices))
    if "const" in field:
        return _value(field["const"])
    if "enum" in field:
        return codes(map(str, field["enum"]))
    if field.get("type") == "array":
        item = type_of(field["items"], definitions)
        return f"list of {item}"
    bounds = [f"{sign} {_number(field[bound])}" for bound, sign in _BOUNDS if bound in field]
    if "maxLength" in field:
        bounds.append(f"≤ {field['maxLength']} characters")
    return ", ".join([field.get("type", "any"), *bounds])


def _number(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def _value(default: object) -> str:
    if default is None:
        return "–"
    if isinstance(default, bool):
        return code(str(default).lower())
    return "empty" if default in ([], {}) else code(str(default))
