"""The table of HTTP routes, from the OpenAPI description of the gateway."""

from __future__ import annotations

from core.settings import Settings
from rendering.markdown import code, table
from service.app import create_app


def routes_table() -> str:
    """Method, path, what the route does and the statuses of success."""
    paths = create_app(Settings()).openapi()["paths"]
    return table(
        ("method", "path", "what it does", "success"),
        [
            (
                method.upper(),
                code(path),
                operation.get("description", "").partition("\n\n")[0],
                ", ".join(sorted(status for status in operation["responses"] if status.startswith("2"))),
            )
            for path, operations in paths.items()
            for method, operation in operations.items()
        ],
    )
