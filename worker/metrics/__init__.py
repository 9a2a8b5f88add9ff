"""The worker's Prometheus metrics: what it counts, what the active one knows, and what its calls take."""

from worker.metrics.registry import Metrics

__all__ = ["Metrics"]
