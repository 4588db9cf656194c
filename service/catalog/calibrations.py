"""Calibrations, by their ids and by the models that they are for."""

from __future__ import annotations

import asyncio
import re

from core.calibration.record import Calibration
from core.calibration.shelf import DIAGRAM, Calibrations
from core.errors import InvalidRequest, NotFound, UnknownModel
from service.bodies.schemas import CalibrationLinks, CalibrationPage, CalibrationView
from service.bodies.validation import similar_names
from service.catalog.models import Models
from service.http.downloads import LocalFile

_ID = re.compile(r"cal_[0-9a-f]{24}")


class CalibrationCatalog:
    """Raises StorageUnavailable while the store cannot be reached."""

    def __init__(self, calibrations: Calibrations, models: Models) -> None:
        self._calibrations = calibrations
        self._models = models

    async def get(self, reference: str) -> CalibrationView:
        """Raises: NotFound, UnknownModel."""
        return _view(await self._find(reference))

    async def page(self, cursor: str | None, limit: int) -> CalibrationPage:
        """The newest first. Raises: InvalidRequest."""
        everything = await asyncio.to_thread(self._calibrations.all)
        if cursor is not None:
            places = [place for place, each in enumerate(everything) if each.id == cursor]
            if not places:
                raise InvalidRequest("cursor is not valid.", hint="Send the `next` of the page before.", field="cursor")
            everything = everything[places[0] + 1 :]
        shown = everything[:limit]
        return CalibrationPage(
            data=[_view(each) for each in shown], next=shown[-1].id if len(everything) > limit else None
        )

    async def delete(self, calibration_id: str) -> None:
        """Raises: NotFound."""
        if not _ID.fullmatch(calibration_id):
            raise NotFound(
                f"There is no calibration {calibration_id[:80]!r}.",
                hint="A calibration is deleted by its id, cal_…; GET /v1/calibrations lists them.",
            )
        await asyncio.to_thread(self._calibrations.delete, await self._find(calibration_id))

    async def file(self, reference: str, name: str) -> LocalFile:
        """The reliability diagram, on this machine. The caller closes it. Raises: NotFound, UnknownModel."""
        found = await self._find(reference)
        try:
            if name == DIAGRAM:
                return await LocalFile.open(self._calibrations.diagram(found))
        except FileNotFoundError:
            pass
        raise NotFound(f"The calibration {found.id} has no file {name[:80]!r}.", hint=f"It has {DIAGRAM}.")

    async def _find(self, reference: str) -> Calibration:
        """Raises: NotFound, UnknownModel."""
        everything = await asyncio.to_thread(self._calibrations.all)
        if _ID.fullmatch(reference):
            found = next((each for each in everything if each.id == reference), None)
            nearest = similar_names(reference, [each.id for each in everything], 80)
        else:
            found, nearest = await self._of_model(reference, everything), []
        if found is None:
            raise NotFound(
                f"There is no calibration {reference[:80]!r}.",
                hint="GET /v1/calibrations lists the calibrations; POST /v1/calibrations makes one.",
                nearest=nearest,
            )
        return found

    async def _of_model(self, reference: str, everything: list[Calibration]) -> Calibration | None:
        """The newest for any labels, else the newest for a label set. Raises: UnknownModel."""
        try:
            name = (await self._models.resolve(reference)).name
        except UnknownModel:
            name = reference  # its calibrations stay when a model is deleted
            if all(each.model != name for each in everything):
                raise
        of_model = [each for each in everything if each.model == name]
        return next((each for each in of_model if each.label_set is None), of_model[0] if of_model else None)


def _view(calibration: Calibration) -> CalibrationView:
    path = f"/v1/calibrations/{calibration.id}"
    links = CalibrationLinks(self=path, diagram=f"{path}/files/{DIAGRAM}")
    return CalibrationView(**calibration.model_dump(), links=links)
