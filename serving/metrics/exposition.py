"""Prometheus text format 0.0.4: families of samples, line by line."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from serving.metrics.cells import Histogram

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, object]
Samples = Iterable[tuple[Labels, float]]


def family(name: str, kind: str, text: str, samples: Samples) -> Iterator[str]:
    """A counter or a gauge."""
    yield from _head(name, kind, text)
    for labels, value in samples:
        yield f"{name}{_written(labels)} {value!r}"


def histogram(name: str, text: str, labels: Labels, values: Histogram) -> Iterator[str]:
    """A histogram of one label set."""
    yield from _head(name, "histogram", text)
    seen = 0
    for bound, count in zip((*values.bounds, "+Inf"), values.counts, strict=True):
        seen += count
        yield f"{name}_bucket{_written({**labels, 'le': bound})} {seen}"
    yield f"{name}_sum{_written(labels)} {values.total!r}"
    yield f"{name}_count{_written(labels)} {seen}"


def summary(name: str, text: str, samples: Iterable[tuple[Labels, float, int]]) -> Iterator[str]:
    """Sums and how many values they hold."""
    yield from _head(name, "summary", text)
    for labels, total, count in samples:
        yield f"{name}_sum{_written(labels)} {total!r}"
        yield f"{name}_count{_written(labels)} {count}"


def process() -> Iterator[Iterable[str]]:
    """The process metrics that every Prometheus client gives, where the system says them."""
    yield family("process_cpu_seconds_total", "counter", "CPU time", [({}, time.process_time())])
    statm = Path("/proc/self/statm")
    if statm.exists():
        resident = int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        yield family("process_resident_memory_bytes", "gauge", "Memory", [({}, resident)])
        descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
        yield family("process_open_fds", "gauge", "Open file descriptors", [({}, descriptors)])


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _written(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{_escaped(str(value))}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
