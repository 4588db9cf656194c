"""What workers write into jobs and their event streams, as the HTTP contract describes it.

The types describe and never check: what an earlier version wrote is shown as it is.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from core.records import JobState, Phase, Progress
from core.results import RESULTS

_REFERENCE = "#/components/schemas/{}"


class JobProgress(Progress):
    """Progress of a job. While it waits: `jobs_before`, and `waiting_for` where no worker is ready. While it runs: the
    data of its last `progress` event."""

    phase: Phase | None = Field(None, description="stage of the run")  # type: ignore[assignment]
    jobs_before: int | None = Field(None, description="number of jobs in the queue before this one")
    waiting_for: str | None = Field(None, description="why no worker starts it, in words")


class Metric(BaseModel):
    """Data of a `metric` event: the numbers of an epoch."""

    model_config = ConfigDict(extra="allow")

    split: Literal["train", "val"]
    epoch: float = Field(description="epochs done")
    loss: float | None = None
    lr: float | None = Field(None, description="learning rate of new modules; of `train` only")
    top1: float | None = Field(None, description="share of clips whose class has the highest score; of `val` only")


class Checkpoint(BaseModel):
    """Data of a `checkpoint` event: the run survives a worker's death from here."""

    step: int
    epoch: float


class LogLine(BaseModel):
    """Data of a `log` event."""

    model_config = ConfigDict(extra="allow")

    message: str


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model.__name__)}


class _DescribedBy:
    """Annotates plain data. Its JSON schema is `kind`; the data is neither checked nor changed."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        described = handler.generate_schema(self._kind)
        return core_schema.any_schema(
            metadata={"pydantic_js_annotation_functions": [lambda _, generate: _one_of(generate(described))]},
            # pydantic keeps the models that a serializer mentions among the definitions
            serialization=core_schema.wrap_serializer_function_ser_schema(lambda value, _: value, schema=described),
        )


def _one_of(schema: dict[str, Any]) -> dict[str, Any]:
    """No data fits two of the models, which `anyOf` would not say."""
    return {"oneOf": schema.pop("anyOf"), **schema} if "anyOf" in schema else schema


def _event(name: str, data: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    return {
        "type": "object",
        "title": f"{name} event",
        "properties": {"id": {"type": "string"}, "event": {"const": name}, "data": text},
        "required": ["id", "event", "data"],
    }


JobResultData = Annotated[dict[str, Any] | None, _DescribedBy(Union[*RESULTS, None])]
JobProgressData = Annotated[dict[str, Any] | None, _DescribedBy(JobProgress | None)]
MetricData = Annotated[dict[str, Any], _DescribedBy(Metric)]

JOB_EVENT_SCHEMA: Final[dict[str, Any]] = {
    "description": "One server-sent event of a job; `data` is JSON.",
    "oneOf": [
        _event("state", {"type": "string", "enum": [state.value for state in JobState]}),
        _event("progress", _reference(Progress)),
        _event("metric", _reference(Metric)),
        _event("checkpoint", _reference(Checkpoint)),
        _event("log", _reference(LogLine)),
    ],
}
"""One server-sent event of a job: the component `JobEvent`."""

EVENT_DATA: Final = (Progress, Metric, Checkpoint, LogLine)
"""The models that `JOB_EVENT_SCHEMA` refers to by name."""

JOB_EVENT: Final = {"$ref": _REFERENCE.format("JobEvent")}
