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
BATCH_BUCKETS_ROWS = (1, 2, 4, 6, 8, 12, 16, 24, 32)
WAIT_BUCKETS_SECONDS = (0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class EngineMetrics:
    """Counters of one engine in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.running = self._gauge("easel_engine_running_jobs", "Jobs with a slot")
        self.waiting = self._gauge("easel_engine_waiting_jobs", "Jobs without a slot")
        self.paused = self._gauge("easel_engine_paused_jobs", "Jobs that gave way")
        self.jobs = Counter("easel_engine_jobs", "Jobs ended", ["outcome"], registry=self.registry)
        self.step_seconds = self._histogram(
            "easel_engine_step_seconds",
            "One call of a denoiser for all rows of a batch",
            STEP_BUCKETS_SECONDS,
        )
        self.batch_rows = self._histogram(
            "easel_engine_batch_rows", "Rows of pictures in one call", BATCH_BUCKETS_ROWS
        )
        self.padding_rows = self._counter(
            "easel_engine_padding_rows", "Rows that only filled a batch up"
        )
        self.pauses = self._counter(
            "easel_engine_pauses", "Pictures that gave way to a more urgent one"
        )
        self.checkpoints = self._counter("easel_engine_checkpoints", "States of pictures sent")
        self.isolations = self._counter(
            "easel_engine_isolations", "Batches that failed and were repeated member by member"
        )
        self.unloads = self._counter("easel_engine_model_unloads", "Models that left the memory")
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

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, buckets=buckets, registry=self.registry)
