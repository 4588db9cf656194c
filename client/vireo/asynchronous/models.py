"""The models of a server, their versions and aliases."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from vireo import export
from vireo.asynchronous.connection import AsyncConnection
from vireo.asynchronous.jobs import AsyncJob, ask, start
from vireo.calls import Call, post, quoted, without_none
from vireo.errors import InvalidRequest
from vireo.schema.models import Alias, AliasShadow, Card, Comparison, ImportResult, Model, ModelDetail
from vireo.sources import upload
from vireo.transfers import TransferProgress


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written of a version: `stripped` says which of its modules other programs do not know."""

    card: Card
    stripped: export.Stripped


class AsyncModels:
    """Models that need no training, and fine-tuned ones."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def list(self, *, limit: int | None = None) -> AsyncIterator[Model]:
        """The ready-made models, the default first; then the fine-tuned ones. Raises: VireoError."""
        return self._connection.pages("/v1/models", Model, limit=limit)

    async def get(self, name: str) -> ModelDetail:
        """A model with the cards of all its versions, or of one: `name:3`, `name@alias`. Raises: UnknownModel;
        VireoError."""
        return ModelDetail.read(await self._connection.get(f"/v1/models/{quoted(name)}"))

    async def delete(self, name: str) -> None:
        """Delete all versions of a fine-tuned model, or only the third: `name:3`. Raises: UnknownModel; VireoError."""
        await self._connection.delete(f"/v1/models/{quoted(name)}")

    async def add_checkpoint(
        self,
        path: str | PathLike[str],
        name: str,
        *,
        base: str | None = None,
        temporal: str | None = None,
        frames: int | None = None,
        classes: Sequence[str] | None = None,
        progress: TransferProgress | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncJob[ImportResult]:
        """Send a published checkpoint, and return the job that imports it as a new version of the model `name`.

        None for the others: what the file says. Raises: VireoError; OSError.
        """
        given = {"name": name, "base": base, "temporal": temporal, "frames": frames, "classes": classes}
        call = post("/v1/models", without_none(given), upload=upload("file", path), progress=progress)
        return await start(self._connection, call, idempotency_key)

    async def export(
        self, name: str, target: str | PathLike[str], *, progress: TransferProgress | None = None
    ) -> Exported:
        """Write a version as a plain open_clip state dict (.safetensors), without the modules that only Vireo has.
        Raises: VireoError; OSError."""
        cards = (await self.get(name)).cards
        if not cards:
            raise InvalidRequest(f"{name} is not a fine-tuned model, so it has no version to export.")
        card, target = cards[0], Path(target)
        if card.architecture == "lite":
            raise InvalidRequest(
                f"{card.name}:{card.version} was trained from lite, which is no architecture of open_clip.",
                hint="Export a version that was trained from a CLIP model.",
            )
        with tempfile.NamedTemporaryFile(suffix=".safetensors", dir=target.resolve().parent) as weights:
            path = f"/v1/models/{quoted(card.name)}/versions/{quoted(card.version)}/files/model.safetensors"
            await self._connection.download(path, Path(weights.name), progress)
            return Exported(card, export.strip(Path(weights.name), target))

    async def alias(self, name: str, alias: str) -> Alias:
        """The version that an alias points to. Raises: NotFound; VireoError."""
        return Alias.read(await self._connection.get(_path(name, alias)))

    async def set_alias(self, name: str, alias: str, version: int) -> ModelDetail:
        """Point an alias of a fine-tuned model at a version. Raises: VireoError."""
        call = Call("PUT", _path(name, alias), json={"version": version})
        return ModelDetail.read(await self._connection.json(call))

    async def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias. Its version stays. Raises: NotFound; VireoError."""
        await self._connection.delete(_path(name, alias))

    async def compare(self, name: str, alias: str, candidate: str, *, dataset: str | None = None) -> Comparison:
        """Whether the model `candidate` is better than the version that the alias points to, on the held-out clips of
        `dataset`; waits for as long as it takes. Raises: VireoError."""
        body = without_none({"model": candidate, "dataset": dataset})
        return await ask(self._connection, post(f"{_path(name, alias)}/compare", body), Comparison)

    async def shadow(self, name: str, alias: str) -> AliasShadow:
        """The shadow of an alias, and how often it agrees with the version that answers. Raises: VireoError."""
        return AliasShadow.read(await self._connection.get(f"{_path(name, alias)}/shadow"))

    async def set_shadow(self, name: str, alias: str, version: int, share: float = 0.1) -> AliasShadow:
        """Let a version score a share of the questions to an alias, without answering them. Raises: VireoError."""
        call = Call("PUT", f"{_path(name, alias)}/shadow", json={"version": version, "share": share})
        return AliasShadow.read(await self._connection.json(call))

    async def delete_shadow(self, name: str, alias: str) -> None:
        """Take the shadow of an alias away. Its counts stay. Raises: VireoError."""
        await self._connection.delete(f"{_path(name, alias)}/shadow")


def _path(name: str, alias: str) -> str:
    return f"/v1/models/{quoted(name)}/aliases/{quoted(alias)}"
