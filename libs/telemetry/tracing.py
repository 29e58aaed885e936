"""Tracing by OpenTelemetry: spans across HTTP, the outbox and Celery by W3C `traceparent`."""

from collections.abc import Mapping

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider


def configure_tracing(service: str) -> None:
    """Install a tracer provider; an exporter is attached by the environment's composition root."""
    trace.set_tracer_provider(TracerProvider(resource=Resource.create({"service.name": service})))


def current_traceparent() -> str | None:
    """The W3C `traceparent` of the current span, to be carried in a message; None outside spans."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent")


def context_from(carrier: Mapping[str, str | None]) -> Context:
    """The context that a message or a request's headers carry."""
    return propagate.extract({name: value for name, value in carrier.items() if value})
