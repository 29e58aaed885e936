"""Figures of the engine for Prometheus, on a port of its own.

Not Triton's custom metrics: setting those from two threads crashes the whole server.
"""

from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)

STEP_BUCKETS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
WAIT_BUCKETS_SECONDS = (0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class EngineMetrics:
    """Counters of one engine in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.running = Gauge(
            "easel_engine_running_jobs", "Jobs between two steps", registry=self.registry
        )
        self.waiting = Gauge(
            "easel_engine_waiting_jobs", "Jobs without a slot", registry=self.registry
        )
        self.jobs = Counter("easel_engine_jobs", "Jobs ended", ["outcome"], registry=self.registry)
        self.step_seconds = self._histogram(
            "easel_engine_step_seconds",
            "One UNet call with its scheduler step",
            STEP_BUCKETS_SECONDS,
        )
        self.queue_seconds = self._histogram(
            "easel_engine_queue_seconds", "From arrival to the first step", WAIT_BUCKETS_SECONDS
        )
        self.decode_seconds = self._histogram(
            "easel_engine_decode_seconds", "Latents to pixels", STEP_BUCKETS_SECONDS
        )
        self.load_seconds = Gauge(
            "easel_engine_model_load_seconds", "Folder to memory", ["model"], registry=self.registry
        )

    def serve(self, address: str, port: int) -> tuple[WSGIServer, Thread]:
        """Answer `GET /metrics`. Raises OSError when the port is taken."""
        return start_http_server(port, addr=address, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, buckets=buckets, registry=self.registry)
