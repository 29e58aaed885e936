"""Prometheus metrics: one registry a process, names by Prometheus' conventions (base units)."""

from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import Counter, Histogram, start_http_server

LATENCY_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

http_requests = Counter(
    "easel_http_requests_total", "Answered HTTP requests", ("service", "method", "route", "status")
)
http_seconds = Histogram(
    "easel_http_request_seconds",
    "Time from request to answer",
    ("service", "method", "route"),
    buckets=LATENCY_BUCKETS_SECONDS,
)


def serve_metrics(port: int, host: str = "127.0.0.1") -> tuple[WSGIServer, Thread]:
    """Serve `/metrics` from a thread: for processes without a web application of their own."""
    return start_http_server(port, addr=host)
