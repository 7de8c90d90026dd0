"""Metrics of the server in the Prometheus format, for all its processes together."""

import contextlib
import os

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from adamine_jax.gallery.items import BusyGallery
from adamine_jax.serving.engine import Engine

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable with the folder in which several processes count, if there are several."""
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counts the requests of an application and serves /metrics.

    Args:
        app: Application.
        engine: Its engine.
    """

    def __init__(self, app: FastAPI, engine: Engine):
        several = FOLDER in os.environ
        registry = CollectorRegistry()
        # With several processes, the collector reads the files of all of them.
        own = None if several else registry
        labels = ("method", "path", "status")
        self._requests = Counter("adamine_requests", "Requests", labels, registry=own)
        self._seconds = Histogram(
            "adamine_request_seconds", "Duration of requests", ("path",), buckets=_SECONDS, registry=own
        )
        searches = "Searches that are running or waiting"
        self._engine = engine
        self._pending = Gauge("adamine_pending_searches", searches, registry=own, multiprocess_mode="livesum")
        items = Gauge("adamine_gallery_items", "Items of the gallery", registry=own, multiprocess_mode="mostrecent")

        @app.get("/metrics", include_in_schema=False)
        def metrics() -> Response:
            self._pending.set(engine.running)
            with contextlib.suppress(BusyGallery):
                items.set(len(engine.gallery))
            collected = registry
            if several:
                collected = CollectorRegistry()
                MultiProcessCollector(collected)
            return Response(generate_latest(collected), media_type=CONTENT_TYPE_LATEST)

    def observe(self, method: str, path: str, status: int, seconds: float) -> None:
        """Counts a request.

        Args:
            method: Its method.
            path: Path of its route, or "other".
            status: Status of its response.
            seconds: Its duration.
        """
        self._requests.labels(method if method in _METHODS else "other", path, str(status)).inc()
        self._pending.set(self._engine.running)
        self._seconds.labels(path).observe(seconds)
