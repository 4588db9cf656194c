"""Labels as requests send them: a name, or a name with prompts. Their bounds hold for requests only; labels that are
stored already are read whatever their size."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, GetPydanticSchema
from pydantic_core import PydanticCustomError

from core.questions import MOST_LABELS, Label, Text, Texts


class LabelBody(BaseModel):
    """A name, which answers show, and optionally prompts that describe it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Text
    prompts: Texts | None = Field(
        None, description="Whole sentences that describe the label. They replace the templates for this label."
    )


def _as_object(value: Any) -> Any:
    """Raises: PydanticCustomError at the first unknown field, where pydantic would list all of them."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict):
        for name in value:
            if name not in LabelBody.model_fields:
                raise PydanticCustomError("label_field", "a label has no field {name}", {"name": repr(name[:80])})
    return value


def _as_labels(bodies: tuple[LabelBody, ...]) -> tuple[Label, ...]:
    return tuple(Label(name=body.name, prompts=body.prompts) for body in bodies)


_Bodies = Annotated[
    tuple[Annotated[LabelBody, BeforeValidator(_as_object, json_schema_input_type=Text | LabelBody)], ...],
    Field(max_length=MOST_LABELS, fail_fast=True),
    AfterValidator(_as_labels),
]

LabelsInput = Annotated[tuple[Label, ...], GetPydanticSchema(lambda _, handler: handler(_Bodies))]
"""The labels of a request body, as the records that workers read."""
