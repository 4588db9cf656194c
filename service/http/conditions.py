"""Conditional requests (RFC 9110 §13): `If-Match` and `If-None-Match` against the entity tag of what is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Response

from core.errors import PreconditionFailed

ETAG_HEADER: Final[dict[str, Any]] = {
    "ETag": {"schema": {"type": "string"}, "description": "Entity tag: send it as `If-Match` or `If-None-Match`."}
}


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of one request. Our entity tags are strong, so a weak one (`W/"3"`) never fulfils `If-Match`."""

    if_match: str | None = None
    if_none_match: str | None = None

    def check(self, tag: str | None) -> None:
        """Before a write. `tag`: the entity tag of what is stored; None where nothing is.

        Raises: PreconditionFailed."""
        if self.if_match is not None and not _lists(self.if_match, tag):
            raise PreconditionFailed(
                f"If-Match is {self.if_match[:80]}, but " + (f"the ETag is {tag}." if tag else "nothing is stored."),
                hint="Somebody else has changed it: read it again, then repeat the change.",
                etag=tag,
            )
        if self.if_none_match is not None and _lists(_weak(self.if_none_match), tag):
            raise PreconditionFailed(
                f"If-None-Match is {self.if_none_match[:80]}, but the ETag is {tag}.",
                hint="It exists already: read it, and send its ETag as If-Match to replace it.",
                etag=tag,
            )

    def holds(self, tag: str) -> bool:
        """Before an answer to a read: whether the client has this content already, so that 304 is the answer."""
        return self.if_none_match is not None and _lists(_weak(self.if_none_match), tag)


ANY: Final = Conditions()
"""No condition."""


def _lists(header: str, tag: str | None) -> bool:
    """Whether the header's list of entity tags has `tag`, or `*` and there is anything."""
    return tag is not None and (header.strip() == "*" or tag in [listed.strip() for listed in header.split(",")])


def version_tag(number: int) -> str:
    """The entity tag of what is identified by a version's number."""
    return f'"{number}"'


def _weak(header: str) -> str:
    """`If-None-Match` compares weakly: a cache between us may have made a strong tag weak."""
    return header.replace("W/", "")


def not_modified(tag: str) -> Response:
    return Response(status_code=304, headers={"ETag": tag})


async def _conditions(
    if_match: Annotated[
        str | None, Header(max_length=500, description="Only if the stored entity tag is one of these; else 412.")
    ] = None,
    if_none_match: Annotated[
        str | None,
        Header(
            max_length=500,
            description="For a read: 304 if the stored entity tag is one of these. For a write: only if it is none of "
            "them; `*` means only if nothing is stored.",
        ),
    ] = None,
) -> Conditions:
    return Conditions(if_match, if_none_match)


ConditionsDep = Annotated[Conditions, Depends(_conditions)]
