"""Plain counters, written out as Prometheus text when somebody asks."""

import os
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from contracts.bundle import Bundle
from serving.drift import Bins, Drift

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
# Bounds are where decisions are made: the latencies of conf/base/budgets.yml are among them, as a test checks.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096)
STAGES = ("decode", "infer", "encode")


class Histogram:
    """Counts below bounds. Not thread-safe: the event loop's thread is the only one that counts."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Metrics:
    """Everything one server counts. The number of series is bounded: no label holds what a client sent."""

    def __init__(self, bundle: Bundle, version: str) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()  # by route and status
        self.rejected: Counter[str] = Counter()  # by the problem's code
        self.duration = Histogram(SECONDS)
        self.rows = Histogram(ROWS)
        self.stages = dict.fromkeys(STAGES, 0.0)  # seconds
        self.inferences = 0
        self.drift = Drift(bundle)
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}  # name -> what it says, and how to read it
        self._bundle = bundle
        self._model = {"model": bundle.manifest.name, "version": version}
        self._created = datetime.fromisoformat(bundle.provenance.created_at).timestamp()

    def inference(self, rows: int, *seconds: float) -> None:
        """Count one call of the model: its rows, and the seconds of each of `STAGES`."""
        self.inferences += 1
        self.rows.observe(rows)
        for stage, spent in zip(STAGES, seconds, strict=True):
            self.stages[stage] += spent

    def render(self) -> bytes:
        """The whole page, Prometheus text format 0.0.4."""
        return "".join(f"{line}\n" for part in self._parts() for line in part).encode()

    def _parts(self) -> Iterator[Iterable[str]]:
        model = self._model
        requests = [({**model, "route": route, "code": code}, n) for (route, code), n in sorted(self.requests.items())]
        yield _family("ml_inference_requests_total", "counter", "Answers, by route and status", requests)
        rejected = [({**model, "reason": reason}, n) for reason, n in sorted(self.rejected.items())]
        yield _family("ml_inference_rejected_total", "counter", "Requests refused, by reason", rejected)
        yield _histogram("ml_inference_duration_seconds", "Time from request to answer, of infer", model, self.duration)
        yield _histogram("ml_inference_batch_size", "Rows of one call of the model", model, self.rows)
        yield ("# HELP ml_inference_stage_duration_seconds Time in one stage of infer",)
        yield ("# TYPE ml_inference_stage_duration_seconds summary",)
        for stage, seconds in self.stages.items():
            labels = _labels({**model, "stage": stage})
            yield (f"ml_inference_stage_duration_seconds_sum{labels} {seconds!r}",)
            yield (f"ml_inference_stage_duration_seconds_count{labels} {self.inferences}",)
        yield from self._drift()
        provenance = self._bundle.provenance
        info = {
            **model,
            "digest": self._bundle.digest,
            "git_sha": provenance.git_sha,
            "data_hash": provenance.data_hash,
        }
        yield _family("ml_model_info", "gauge", "What is served", [(info, 1)])
        yield _family("ml_model_age_seconds", "gauge", "Since it was built", [(model, time.time() - self._created)])
        for name, (text, read) in self.gauges.items():
            yield _family(name, "gauge", text, [(model, read())])
        yield from _process()

    def _drift(self) -> Iterator[Iterable[str]]:
        self.drift.count()
        model, features, outputs = self._model, self.drift.features, self.drift.outputs
        yield _family("ml_feature_bin_total", "counter", "Values by bin", _counts(model, "feature", features))
        text = "Share of the bin in the training data"
        yield _family("ml_feature_reference_ratio", "gauge", text, _reference(model, "feature", features))
        missing = [({**model, "feature": name}, int(bins.counts[-1])) for name, bins in features.items()]
        yield _family("ml_feature_missing_total", "counter", "Missing values", missing)
        unseen = [({**model, "feature": name}, count) for name, count in self.drift.unseen()]
        yield _family("ml_feature_unseen_category_total", "counter", "Categories training never saw", unseen)
        untracked = [(model, self.drift.untracked)]
        yield _family("ml_feature_untracked", "gauge", "Inputs that are not counted, to bound the series", untracked)
        yield _family("ml_prediction_bin_total", "counter", "Predictions by bin", _counts(model, "output", outputs))
        text = "Share of the bin in the predictions on the training data"
        yield _family("ml_prediction_reference_ratio", "gauge", text, _reference(model, "output", outputs))


Samples = Iterable[tuple[Mapping[str, object], float]]


def _family(name: str, kind: str, text: str, samples: Samples) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield f"{name}{_labels(labels)} {value!r}"


def _histogram(name: str, text: str, labels: Mapping[str, object], histogram: Histogram) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} histogram"
    seen = 0
    for bound, count in zip((*histogram.bounds, "+Inf"), histogram.counts, strict=True):
        seen += count
        yield f"{name}_bucket{_labels({**labels, 'le': bound})} {seen}"
    yield f"{name}_sum{_labels(labels)} {histogram.total!r}"
    yield f"{name}_count{_labels(labels)} {seen}"


def _counts(model: dict[str, str], kind: str, binned: Mapping[str, Bins]) -> Samples:
    for name, bins in binned.items():
        for label, count in zip(bins.labels, bins.counts.tolist(), strict=True):
            yield {**model, kind: name, "bin": label}, count


def _reference(model: dict[str, str], kind: str, binned: Mapping[str, Bins]) -> Samples:
    for name, bins in binned.items():
        for label, share in zip(bins.labels, bins.reference.tolist(), strict=True):
            yield {**model, kind: name, "bin": label}, share


def _labels(labels: Mapping[str, object]) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{_escaped(str(value))}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _process() -> Iterator[Iterable[str]]:
    """The process metrics that every Prometheus client gives, where the system says them."""
    yield _family("process_cpu_seconds_total", "counter", "CPU time", [({}, time.process_time())])
    statm = Path("/proc/self/statm")
    if statm.exists():
        resident = int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        yield _family("process_resident_memory_bytes", "gauge", "Memory", [({}, resident)])
        descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
        yield _family("process_open_fds", "gauge", "Open file descriptors", [({}, descriptors)])
