"""Plain counters in flat memory, written out as Prometheus text when somebody asks."""

from serving.metrics.cells import Histogram
from serving.metrics.counters import SECONDS, Metrics
from serving.metrics.exposition import CONTENT_TYPE

__all__ = ["CONTENT_TYPE", "SECONDS", "Histogram", "Metrics"]
