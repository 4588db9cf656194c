"""Spans, and the context that a job's record carries from the process that makes the job to the one that does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import NoOpTracerProvider, Span, SpanKind, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from core.errors import VireoError

_CONTEXT = TraceContextTextMapPropagator()
_provider: TracerProvider = NoOpTracerProvider()


def tracer_provider() -> TracerProvider:
    return _provider


def is_traced() -> bool:
    """Whether this process makes spans."""
    return not isinstance(_provider, NoOpTracerProvider)


def use_provider(provider: TracerProvider) -> TracerProvider:
    """The spans of this process go to `provider` from here on. Returns the one before."""
    global _provider  # as in OpenTelemetry, whose own can be set only once
    before, _provider = _provider, provider
    return before


def current_traceparent() -> str | None:
    """The current span as W3C's `traceparent`; None outside of a trace."""
    carrier: dict[str, str] = {}
    _CONTEXT.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def span(
    name: str,
    *,
    parent: str | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    no_errors: tuple[type[Exception], ...] = (),
    **attributes: str | int,
) -> Iterator[Span]:
    """While the block runs, its span is the current one. parent: a `traceparent`; by default the current span.
    no_errors: exceptions that mean no failure. An error is named by its code or class: its message may say too much."""
    context = _CONTEXT.extract({"traceparent": parent}) if parent else None
    named = {f"vireo.{key}": value for key, value in attributes.items()}
    with _provider.get_tracer("vireo").start_as_current_span(
        name, context, kind, named, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except no_errors:
            raise
        except Exception as error:
            what = error.code if isinstance(error, VireoError) else type(error).__name__
            current.set_attribute("error.type", what)
            current.set_status(StatusCode.ERROR, what)
            raise
