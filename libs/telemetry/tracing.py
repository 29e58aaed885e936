"""Tracing by OpenTelemetry: spans across HTTP, the outbox and Celery by W3C `traceparent`."""

import os
from collections.abc import Mapping

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF


def configure_tracing(service: str) -> None:
    """Install a tracer provider.

    Spans carry ids, which logs and messages name. They are recorded where OTEL_TRACES_SAMPLER says
    so (an environment that exports them); recording what nobody reads costs half a request.
    """
    resource = Resource.create({"service.name": service})
    sampler = None if "OTEL_TRACES_SAMPLER" in os.environ else ALWAYS_OFF
    trace.set_tracer_provider(TracerProvider(resource=resource, sampler=sampler))


def current_traceparent() -> str | None:
    """The W3C `traceparent` of the current span, to be carried in a message; None outside spans."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent")


def context_from(carrier: Mapping[str, str | None]) -> Context:
    """The context that a message or a request's headers carry."""
    return propagate.extract({name: value for name, value in carrier.items() if value})
