"""The table of Prometheus metrics: those of `core/prometheus.py`, and the numbers that the gateway reads from Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from prometheus_client.metrics import MetricWrapperBase

import core.prometheus
from core.records import JobKind, JobState, WorkerInfo
from core.state.queues import TASKS
from rendering.markdown import code, codes, table
from service.ops.queue_metrics import QueueSnapshot
from service.ops.redis_memory import RedisMemory


@dataclass(frozen=True, slots=True)
class Series:
    """One metric as Prometheus shows it."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


def series() -> list[Series]:
    """Every metric of Vireo, in the order of its declaration."""
    declared = [metric for metric in vars(core.prometheus).values() if isinstance(metric, MetricWrapperBase)]
    return [
        *(_series(family, metric) for metric in declared for family in metric.describe()),
        *(_series(family, family) for family in QueueSnapshot(memory=RedisMemory()).collect()),
    ]


def metrics_table() -> str:
    return table(
        ("metric", "type", "labels", "what it measures"),
        [(code(metric.name), metric.type, codes(metric.labels), metric.help) for metric in series()],
    )


def label_values_table() -> str:
    """The values of labels that the code lists."""
    on_record = [
        sample.labels["state"]
        for family in QueueSnapshot(memory=RedisMemory()).collect()
        for sample in family.samples
        if family.name == "vireo_jobs"
    ]
    return table(
        ("label", "metrics", "values"),
        [
            ("`queue`", "all", codes(TASKS)),
            ("`kind`", "`vireo_jobs_total`", codes(get_args(JobKind))),
            ("`state`", "`vireo_jobs_total`", codes(state for state in JobState if state.final)),
            ("`state`", "`vireo_jobs`", codes(on_record)),
            ("`state`", "`vireo_workers`", codes(get_args(WorkerInfo.model_fields["state"].annotation))),
        ],
    )


def _series(family: Any, labelled: Any) -> Series:
    """`labelled` knows the names of the labels; prometheus_client has no public way to them."""
    name = family.name + ("_total" if family.type == "counter" else "")
    return Series(name, family.type, tuple(labelled._labelnames), family.documentation)
