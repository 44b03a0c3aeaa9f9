"""What the model is worth on the test split, beside the baselines, and how sure that is.

Intervals resample whole days (pipelines/statistics/bootstrap.py): rows of a day share their trouble. Differences are
paired: the same days for both models.
"""

import datetime as dt
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow.compute as pc
from msgspec import Struct
from pyarrow import dataset as ds

from contracts.budgets import Quality
from pipelines.statistics.block_statistics import Statistic, better, reduce
from pipelines.statistics.bootstrap import day_weights
from pipelines.training import batches
from pipelines.training import encoding as encodings
from pipelines.training.encoding import Target
from pipelines.training.model import Epoch

FORMAT = 1
METRICS = {
    "binary": ("auc", "average_precision", "log_loss", "brier", "accuracy"),
    "multiclass": ("auc", "macro_f1", "log_loss", "brier", "accuracy"),
    "regression": ("r2", "mae", "rmse"),
}
MLP = "mlp"
CALIBRATION_BINS = 10
READ_ROWS = 65_536


class Measured(Struct, frozen=True, kw_only=True):
    """A figure and its interval; no interval where too few resamples have one."""

    value: float
    lower: float | None = None
    upper: float | None = None


class Segment(Struct, frozen=True, kw_only=True):
    """The budgets' metric for the rows that share a value of a segment, by model."""

    segment: str
    value: str
    rows: int
    models: dict[str, Measured]


class CalibrationBin(Struct, frozen=True, kw_only=True):
    """Rows of about the same prediction: what was predicted on average, and what came."""

    predicted: float
    observed: float
    rows: int


class Evaluation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`data/evaluation.json`. `differences` are mlp against baseline: positive is better, whatever the metric."""

    format: int = FORMAT
    inputs_hash: str
    task: str
    metric: str  # the one that the budgets decide by
    rows: dict[str, int]
    days: int
    test_from: str
    test_until: str
    models: dict[str, dict[str, Measured]]
    differences: dict[str, dict[str, Measured]]
    segments: tuple[Segment, ...]
    calibration: tuple[CalibrationBin, ...]
    calibration_error: float | None  # expected, over the bins; None for a regression
    epochs: tuple[Epoch, ...]
    best_epoch: int
    device: str

    @property
    def names(self) -> tuple[str, ...]:
        """The models, this one first."""
        return (MLP, self.linear, "boosting")

    @property
    def linear(self) -> str:
        """The name of the linear baseline."""
        return next(name for name in self.models if name in ("logistic", "linear"))


class Truth(Struct, frozen=True, kw_only=True):
    """The test rows that have a label of a known class: labels, days as numbers from 0, segments as codes."""

    known: np.ndarray  # of all rows
    labels: np.ndarray
    day: np.ndarray
    dates: list[dt.date]
    segments: dict[str, tuple[np.ndarray, list[str]]]

    @property
    def days(self) -> int:
        return len(self.dates)


def truth(test: ds.Dataset, target: Target) -> Truth:
    """Read labels, days and segments, in file order; a few bytes per row."""
    names = [name for name in test.schema.names if name.startswith("segment_")]
    labels: list[np.ndarray] = []
    days: list[np.ndarray] = []
    codes: dict[str, list[np.ndarray]] = {name: [] for name in names}
    values: dict[str, dict[str, int]] = {name: {} for name in names}
    for batch in batches.raw(test, ["label", "block", *names], READ_ROWS):
        labels.append(encodings.labels(batch, target))
        days.append(batch.column("block").cast("date32").cast("int32").to_numpy())
        for name in names:
            codes[name].append(_codes(pc.fill_null(batch.column(name), "missing"), values[name]))
    everything = np.concatenate(labels)
    known = everything >= 0 if target.task == "multiclass" else ~np.isnan(everything)
    found, day = np.unique(np.concatenate(days)[known], return_inverse=True)
    return Truth(
        known=known,
        labels=everything[known],
        day=day,
        dates=[dt.date.fromordinal(int(number) + dt.date(1970, 1, 1).toordinal()) for number in found],
        segments={
            name.removeprefix("segment_"): (np.concatenate(codes[name])[known], list(values[name])) for name in names
        },
    )


def measure(
    truth: Truth, predictions: dict[str, np.ndarray], task: str, quality: Quality, seed: int
) -> tuple[dict[str, dict[str, Measured]], dict[str, dict[str, Measured]]]:
    """Every metric of the task for every model, and the mlp's paired differences to the others."""
    weights = day_weights(truth.days, quality.resamples, seed)
    models: dict[str, dict[str, Measured]] = {name: {} for name in predictions}
    differences: dict[str, dict[str, Measured]] = {name: {} for name in predictions if name != MLP}
    for metric in METRICS[task]:
        draws = {
            name: _draws(reduce(metric, truth.labels, prediction, truth.day, truth.days), weights)
            for name, prediction in predictions.items()
        }
        for name, drawn in draws.items():
            models[name] |= _figure(metric, drawn, quality.confidence)
            if name != MLP:
                differences[name] |= _figure(metric, better(metric, draws[MLP], drawn), quality.confidence)
    return models, differences


def measure_segments(
    truth: Truth, predictions: dict[str, np.ndarray], quality: Quality, seed: int, least_rows: int
) -> Iterator[Segment]:
    """The budgets' metric for every value of every segment that has at least `least_rows` rows; frequent ones first."""
    weights = day_weights(truth.days, quality.resamples, seed)
    metric = quality.metric
    for segment, (codes, values) in truth.segments.items():
        counts = np.bincount(codes, minlength=len(values))
        for code in sorted(np.flatnonzero(counts >= least_rows), key=lambda code: (-counts[code], values[code])):
            rows = codes == code
            models: dict[str, Measured] = {}
            for name, prediction in predictions.items():
                statistic = reduce(metric, truth.labels[rows], prediction[rows], truth.day[rows], truth.days)
                if found := _figure(metric, _draws(statistic, weights), quality.confidence):
                    models[name] = found[metric]
            if models:
                yield Segment(segment=segment, value=values[code], rows=int(counts[code]), models=models)


def calibration_curve(labels: np.ndarray, prediction: np.ndarray, task: str) -> tuple[CalibrationBin, ...]:
    """Bins of equal count by prediction; of a multiclass task by the probability of the class that was chosen."""
    if task == "multiclass":
        labels, prediction = prediction.argmax(axis=1) == labels, prediction.max(axis=1)
    order = np.argsort(prediction, kind="stable")
    parts = [part for part in np.array_split(order, CALIBRATION_BINS) if len(part)]
    return tuple(
        CalibrationBin(
            predicted=float(prediction[part].mean(dtype=np.float64)),
            observed=float(labels[part].mean(dtype=np.float64)),
            rows=len(part),
        )
        for part in parts
    )


def calibration_error(bins: Iterable[CalibrationBin]) -> float:
    """The expected calibration error: how far predicted and observed lie apart, on average over the rows."""
    bins = list(bins)
    return sum(abs(part.predicted - part.observed) * part.rows for part in bins) / sum(part.rows for part in bins)


def _draws(statistic: Statistic, weights: np.ndarray) -> np.ndarray:
    """The figure itself, then that of every resample."""
    return statistic(np.concatenate([np.ones((1, weights.shape[1])), weights]))


def _figure(metric: str, draws: np.ndarray, confidence: float) -> dict[str, Measured]:
    """The figure under its metric's name; nothing if it is not defined, as the AUC of a single class."""
    value, resampled = float(draws[0]), draws[1:][~np.isnan(draws[1:])]
    if np.isnan(value):
        return {}
    if len(resampled) < 2:
        return {metric: Measured(value=value)}
    lower, upper = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return {metric: Measured(value=value, lower=float(lower), upper=float(upper))}


def _codes(column: object, known: dict[str, int]) -> np.ndarray:
    """Numbers for the values of a batch; `known` grows by the new ones."""
    encoded = column.dictionary_encode()  # type: ignore[attr-defined]
    numbers = [known.setdefault(value, len(known)) for value in encoded.dictionary.to_pylist()]
    return np.asarray(numbers, np.int32)[encoded.indices.to_numpy(zero_copy_only=False)]
