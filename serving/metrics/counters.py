"""Everything one server counts."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import product

from contracts.bundle import Bundle
from serving.metrics import exposition
from serving.metrics.cells import Cells, Histogram, Sheet, Tally, Words
from serving.metrics.drift import Bins, Drift
from serving.metrics.vocabulary import CODES, ROUTES, STATUSES

# Bounds are where decisions are made: the latencies of conf/base/budgets.yml are among them, as a test checks.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096)
REQUESTS = (1, 2, 4, 8, 16, 32, 64, 128)
STAGES = ("decode", "infer", "encode")
ANSWERED, EXPECTED = ("infer", "invocations"), (200, 500, 503, 504)  # routes and statuses that are never absent
BLAMELESS = ("no_finite_answer",)  # refusals that are never absent: the client has no part in them

Families = Callable[[Mapping[str, str]], Iterable[Iterable[str]]]  # lines, for the labels of the model
Gauges = dict[str, tuple[str, Callable[[], float]]]  # name -> what it says, and how to read it


class Batches(Cells):
    """Calls of the model: requests and rows in one, and the seconds of each of `STAGES`.

    One counter and not three, since it stands in the path of every lone request.
    """

    def __init__(self) -> None:
        self.requests, self.rows = Histogram(REQUESTS), Histogram(ROWS)
        self._parts = (self.requests, self.rows)
        whole, fractions = (sum(part.needs[kind] for part in self._parts) for kind in (0, 1))
        super().__init__(whole, fractions + len(STAGES))

    def move(self, whole: "memoryview[int]", fractions: "memoryview[float]") -> None:
        """Go on counting there."""
        super().move(whole, fractions)
        split = self.requests.needs[0]
        self.requests.move(whole[:split], fractions[:1])
        self.rows.move(whole[split:], fractions[1:2])

    def add(self, requests: int, rows: int, decode: float, infer: float, encode: float) -> None:
        """Count one call."""
        self.requests.observe(requests)
        self.rows.observe(rows)
        fractions = self.fractions
        fractions[2] += decode
        fractions[3] += infer
        fractions[4] += encode

    @property
    def calls(self) -> int:
        """How often the model was called."""
        return sum(self.rows.counts)

    @property
    def seconds(self) -> dict[str, float]:
        """By stage."""
        return dict(zip(STAGES, self.fractions[2:].tolist(), strict=True))


class Metrics:
    """Everything one server counts. The number of series is bounded: no label holds what a client sent.

    `sheet` is the memory in which all of it lies: several processes are summed by summing theirs.
    """

    def __init__(self, bundle: Bundle, version: str) -> None:
        self.duration = Histogram(SECONDS)
        self.drift = Drift(bundle)
        self.gauges: Gauges = {}
        self._answers, self._refusals, self._batches = Tally(ROUTES, STATUSES), Words(CODES), Batches()
        self._cells = (self._answers, self._refusals, self.duration, self._batches, *self.drift.bins())
        self.sheet = Sheet(self._cells)
        self.answered = self._answers.add  # (route, status)
        self.refused = self._refusals.add  # (code)
        self.batch = self._batches.add  # (requests, rows, decode, infer, encode), in seconds
        self.refresh: Callable[[], None] = self.drift.count  # before it is written out
        self.more: list[Families] = []  # of others
        self.process: Families = lambda model: exposition.process()
        self._bundle = bundle
        self._model = {"model": bundle.manifest.name, "version": version}
        self._created = datetime.fromisoformat(bundle.provenance.created_at).timestamp()

    def extend(self, *cells: Cells) -> None:
        """Take in counters of others, before anything is counted: the sheet is a new one."""
        self._cells = (*self._cells, *cells)
        self.sheet = Sheet(self._cells)

    @property
    def requests(self) -> Counter[tuple[str, int]]:
        """Answers, by route and status."""
        return self._answers.counts()

    @property
    def rejected(self) -> Counter[str]:
        """Refusals, by the problem's code."""
        return self._refusals.counts()

    def render(self) -> bytes:
        """The whole page, Prometheus text format 0.0.4."""
        self.refresh()
        return "".join(f"{line}\n" for part in self._parts() for line in part).encode()

    def _parts(self) -> Iterator[Iterable[str]]:
        model, batches = self._model, self._batches
        # What analysis and alerts ask for is there before it happens: a series that begins at 1 has never increased.
        answers = dict.fromkeys(product(ANSWERED, EXPECTED), 0) | self.requests
        requests = [({**model, "route": route, "code": code}, n) for (route, code), n in sorted(answers.items())]
        yield exposition.family("ml_inference_requests_total", "counter", "Answers, by route and status", requests)
        refusals = dict.fromkeys(BLAMELESS, 0) | self.rejected
        rejected = [({**model, "reason": reason}, n) for reason, n in sorted(refusals.items())]
        yield exposition.family("ml_inference_rejected_total", "counter", "Requests refused, by reason", rejected)
        text = "Time from request to answer, of infer"
        yield exposition.histogram("ml_inference_duration_seconds", text, model, self.duration)
        yield exposition.histogram("ml_inference_batch_size", "Rows of one call of the model", model, batches.rows)
        text = "Requests that shared one call of the model"
        yield exposition.histogram("ml_inference_batch_requests", text, model, batches.requests)
        stages = [({**model, "stage": stage}, seconds, batches.calls) for stage, seconds in batches.seconds.items()]
        text = "Time in one stage of infer"
        yield exposition.summary("ml_inference_stage_duration_seconds", text, stages)
        yield from self._drift()
        provenance = self._bundle.provenance
        info = {
            **model,
            "digest": self._bundle.digest,
            "git_sha": provenance.git_sha,
            "data_hash": provenance.data_hash,
        }
        yield exposition.family("ml_model_info", "gauge", "What is served", [(info, 1)])
        age = time.time() - self._created
        yield exposition.family("ml_model_age_seconds", "gauge", "Since it was built", [(model, age)])
        for name, (text, read) in self.gauges.items():
            yield exposition.family(name, "gauge", text, [(model, read())])
        for families in (*self.more, self.process):
            yield from families(model)

    def _drift(self) -> Iterator[Iterable[str]]:
        family, model, features, outputs = exposition.family, self._model, self.drift.features, self.drift.outputs
        yield family("ml_feature_bin_total", "counter", "Values by bin", _counts(model, "feature", features))
        text = "Share of the bin in the training data"
        yield family("ml_feature_reference_ratio", "gauge", text, _reference(model, "feature", features))
        missing = [({**model, "feature": name}, int(bins.counts[-1])) for name, bins in features.items()]
        yield family("ml_feature_missing_total", "counter", "Missing values", missing)
        unseen = [({**model, "feature": name}, count) for name, count in self.drift.unseen()]
        yield family("ml_feature_unseen_category_total", "counter", "Categories training never saw", unseen)
        untracked = [(model, self.drift.untracked)]
        yield family("ml_feature_untracked", "gauge", "Inputs that are not counted, to bound the series", untracked)
        yield family("ml_prediction_bin_total", "counter", "Predictions by bin", _counts(model, "output", outputs))
        grids, text = self.drift.grids, "Predictions by bins that every version has"
        yield family("ml_prediction_grid_total", "counter", text, _counts(model, "output", grids))
        text = "Share of the bin in the predictions on the training data"
        yield family("ml_prediction_reference_ratio", "gauge", text, _reference(model, "output", outputs))


def _counts(model: dict[str, str], kind: str, binned: Mapping[str, Bins]) -> exposition.Samples:
    for name, bins in binned.items():
        for label, count in zip(bins.labels, bins.counts.tolist(), strict=True):
            yield {**model, kind: name, "bin": label}, count


def _reference(model: dict[str, str], kind: str, binned: Mapping[str, Bins]) -> exposition.Samples:
    for name, bins in binned.items():
        for label, share in zip(bins.labels, bins.reference.tolist(), strict=True):
            yield {**model, kind: name, "bin": label}, share
