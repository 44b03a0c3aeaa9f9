"""Leakage gate: does the model see what it could not have seen?"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset as ds

from contracts.report import Check
from pipelines import schema as schemas
from pipelines.schema import Schema
from pipelines.statistics import block_statistics
from pipelines.validation import window
from pipelines.validation.parameters import Leakage
from pipelines.validation.split_tables import opened, quoted

GATE = "leakage"
BINS = 50
PRIOR_ROWS = 20  # how many rows of the average label every group is mixed with: a group of one row knows nothing


def check_leakage(schema: Schema, splits: Mapping[str, ds.Dataset], parameters: Leakage) -> list[Check]:
    """Every check of the gate; needs splits that the schema gate let through."""
    return [
        _known_in_time(schema),
        *_over_all_rows(schema.spine.key, splits),
        _single_feature(schema, splits, parameters),
    ]


def _known_in_time(schema: Schema) -> Check:
    """Asked again here, although the schema is refused when it is read: the report should say that it was asked."""
    problem = next(schemas.problems(schema), None)
    detail = (
        f"{problem[0]}: {problem[1]}" if problem else f"{len(schema.features)} inputs, each known at prediction time"
    )
    return _check("known at prediction time", bool(problem), detail=detail)


def _over_all_rows(key: Sequence[str], splits: Mapping[str, ds.Dataset]) -> list[Check]:
    row = ", ".join(map(quoted, key))
    union = " UNION ALL ".join(
        f"SELECT hash({row}) AS row, '{split}' AS split, prediction_time, label_known_at FROM {split}"  # noqa: S608
        for split in ("train", "validation", "test")
    )
    repeats = f"SELECT count(*) AS times, min(split) AS one, max(split) AS other FROM ({union}) GROUP BY row"  # noqa: S608
    keys = f"SELECT coalesce(sum(times - 1), 0), count(*) FILTER (one <> other) FROM ({repeats})"  # noqa: S608
    early = "count(*) FILTER (label_known_at <= prediction_time)"
    ends = "max(label_known_at) FILTER (split <> 'test'), min(prediction_time) FILTER (split = 'test')"
    times = f"SELECT {early}, {ends} FROM ({union})"  # noqa: S608
    with opened(splits) as tables:
        repeated, shared = tables.execute(keys).fetchone() or (0, 0)
        known_before, learned_until, tested_from = tables.execute(times).fetchone() or (0, None, None)
    return [
        _check("labels come after predictions", known_before > 0, known_before, 0, "labels known by then"),
        _learned_before_tested(learned_until, tested_from),
        _check("no row in two splits", shared > 0, shared, 0, "keys that are in more than one split"),
        _check("no row twice", repeated > 0, int(repeated), 0, "rows that repeat the key of another one"),
    ]


def _learned_before_tested(learned_until: datetime | None, tested_from: datetime | None) -> Check:
    overlap = learned_until is None or tested_from is None or learned_until > tested_from
    detail = (
        f"the last label learned from was known at {learned_until}, the first test prediction is of {tested_from} (UTC)"
    )
    return _check("training ends before the test", overlap, detail=detail)


def _single_feature(schema: Schema, splits: Mapping[str, ds.Dataset], parameters: Leakage) -> Check:
    """A column that alone tells the label is the label, under another name.

    Each column's groups (values, or quantile bins, missing ones for themselves) get the mean label of a sample of the
    training rows; how well that orders a sample of the test rows is an AUC. A number counts as above or below its
    median, several classes as one against the rest.
    """
    names = [*schema.features, "label"]
    train = window.sample(splits["train"], names, parameters.rows)
    test = window.sample(splits["test"], names, parameters.rows)
    targets = _targets(schema.task, train.column("label"), test.column("label"))
    scores = {
        name: max(_alone(train.column(name), test.column(name), learned, asked) for learned, asked in targets)
        for name in schema.features
    }
    worst = max(scores, key=lambda name: scores[name])
    telling = scores[worst] > parameters.single_feature
    detail = f"{worst} alone reaches an AUC of {scores[worst]:.3f}" + (
        "; what does it know, and when?" if telling else ""
    )
    return _check("no column tells the label", telling, scores[worst], parameters.single_feature, detail)


def _targets(task: str, train: pa.ChunkedArray, test: pa.ChunkedArray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The label as yes or no, for train and test."""
    if task == "regression":
        middle = pc.approximate_median(train).as_py()
        return [(pc.greater(train, middle).to_numpy(), pc.greater(test, middle).to_numpy())]
    values = pc.unique(train).to_pylist()
    if len(values) == 2:  # one against the rest says the same twice
        values = values[:1]
    return [(pc.equal(train, value).to_numpy(), pc.equal(test, value).to_numpy()) for value in values]


def _alone(train: pa.ChunkedArray, test: pa.ChunkedArray, learned: np.ndarray, asked: np.ndarray) -> float:
    if asked.all() or not asked.any():
        return 0.5
    groups, places = _groups(train, test)
    size = max(groups.max(initial=0), places.max(initial=0)) + 1
    rows = np.bincount(groups, minlength=size)
    hits = np.bincount(groups, weights=learned, minlength=size)
    mean = (hits + PRIOR_ROWS * learned.mean()) / (rows + PRIOR_ROWS)
    block: np.ndarray = np.zeros(len(asked), np.int64)
    return float(block_statistics.reduce("auc", asked, mean[places], block, 1)(np.ones((1, 1)))[0])


def _groups(train: pa.ChunkedArray, test: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """The number of each value's group in both samples; 0 is missing."""
    kind = train.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind):
        known = pc.unique(train.drop_null())
        places = [pc.fill_null(pc.add(pc.index_in(values, known), 1), 0) for values in (train, test)]
        return places[0].to_numpy(), places[1].to_numpy()
    numbers = [values.cast(pa.float64()).to_numpy() for values in (train, test)]
    found = numbers[0][~np.isnan(numbers[0])]
    edges = np.unique(np.quantile(found, np.linspace(0, 1, BINS + 1)[1:-1])) if len(found) else np.empty(0)
    first, second = (
        np.where(np.isnan(values), 0, 1 + np.searchsorted(edges, values, side="left")) for values in numbers
    )
    return first, second


def _check(
    name: str, failed: bool, value: float | None = None, threshold: float | None = None, detail: str = ""
) -> Check:
    return Check(
        gate=GATE, name=name, status="fail" if failed else "pass", value=value, threshold=threshold, detail=detail
    )
