"""What the metrics of every process have in common: a registry of its own, its process, which build it is.

No `_created` series: they would double the counters, and nobody asks for them.
"""

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics

from shared import __version__


def registry(cluster: str = "") -> CollectorRegistry:
    """An empty one, but for `process_*` and `scaler_build_info`."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's; of the whole process
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    meaning = "1; which version this process is, and for which cluster it works: join others to it by job and instance."
    Gauge("scaler_build_info", meaning, ["version", "cluster"], registry=made).labels(__version__, cluster).set(1)
    return made
