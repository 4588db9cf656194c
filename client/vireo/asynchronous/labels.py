"""The label sets that a server stores."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Unpack

from vireo.asynchronous.connection import AsyncConnection
from vireo.asynchronous.jobs import ask
from vireo.calls import Call, post, quoted, without_none
from vireo.schema.labels import LabelCheck, LabelSet
from vireo.schema.requests import LabelBody, LabelSetBody, LabelSetCheckBody


class AsyncLabelSets:
    """Named lists of labels. A version never changes."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def list(self, *, limit: int | None = None) -> AsyncIterator[LabelSet]:
        """The latest version of each label set, in the order of their names. Raises: VireoError."""
        return self._connection.pages("/v1/label-sets", LabelSet, limit=limit)

    async def get(self, name: str) -> LabelSet:
        """The latest version of a label set, or the third: `name:3`. Raises: UnknownLabelSet; VireoError."""
        return LabelSet.read(await self._connection.get(f"/v1/label-sets/{quoted(name)}"))

    def versions(self, name: str, *, limit: int | None = None) -> AsyncIterator[LabelSet]:
        """The versions of a label set, the newest first. Raises: UnknownLabelSet; VireoError."""
        return self._connection.pages(f"/v1/label-sets/{quoted(name)}/versions", LabelSet, limit=limit)

    async def put(
        self,
        name: str,
        labels: Sequence[str | LabelBody],
        *,
        if_version: int | None = None,
        **options: Unpack[LabelSetBody],
    ) -> LabelSet:
        """Write a new version, unless the latest one is the same.

        `if_version`: write only if this is the latest version; 0 only if there is no such label set. Raises:
        PreconditionFailed if it is not; VireoError.
        """
        headers = {}
        if if_version is not None:
            headers = {"if-match": f'"{if_version}"'} if if_version else {"if-none-match": "*"}
        body = without_none(options) | {"labels": [*labels]}
        call = Call("PUT", f"/v1/label-sets/{quoted(name)}", json=body, headers=headers)
        return LabelSet.read(await self._connection.json(call))

    async def delete(self, name: str) -> None:
        """Delete all versions of a label set, or only the third: `name:3`. Raises: UnknownLabelSet; VireoError."""
        await self._connection.delete(f"/v1/label-sets/{quoted(name)}")

    async def check(
        self, name: str, *, picture: str | PathLike[str] | None = None, **options: Unpack[LabelSetCheckBody]
    ) -> LabelCheck:
        """What is wrong with the labels of a set. `picture`: where to write the picture of their similarities, a PNG.
        Raises: VireoError."""
        call = post(f"/v1/label-sets/{quoted(name)}/check", without_none(options))
        return await checked(self._connection, call, picture)


async def checked(connection: AsyncConnection, call: Call, picture: str | PathLike[str] | None) -> LabelCheck:
    """What a check of labels finds. Raises: VireoError."""
    found = await ask(connection, call, LabelCheck)
    if picture is not None:
        await connection.download(found.map.url, Path(picture))
    return found
