"""Parity gate: the trained network, its ONNX graph and the server's runtime give the same numbers."""

from typing import Protocol

import numpy as np
import onnxruntime as ort
from pyarrow import dataset as ds

from contracts.budgets import Model as ModelBudget
from contracts.bundle import Bundle
from contracts.errors import InputError
from contracts.report import Check
from pipelines.scoring.columns import columns
from pipelines.validation import window
from pipelines.validation.window import not_run
from serving.runtime import Model

GATE = "parity"
ROWS = 2048  # asked through the server's runtime and straight
SINGLE = 64  # of them, asked one by one as a client does
PROBE = ("runtime and graph", "one row and many")


class Measured(Protocol):
    """What packaging found: pipelines.packaging.parity.Parity, whose module needs torch, which no gate needs."""

    @property
    def digest(self) -> str: ...
    @property
    def rows(self) -> int: ...
    @property
    def maximum_error(self) -> float: ...


def check_trained(bundle: Bundle, measured: Measured, budget: ModelBudget) -> Check:
    """The trained network against the graph over the whole test split, as packaging measured it."""
    name = "trained network and graph"
    if measured.digest != bundle.digest:
        detail = f"packaging measured {measured.digest[:23]}…, another bundle; run packaging again"
        return Check(gate=GATE, name=name, status="not_run", detail=detail)
    good = measured.maximum_error <= budget.parity_tolerance
    return _check(name, good, measured.maximum_error, budget.parity_tolerance, f"over {measured.rows} rows")


def check_runtime(bundle: Bundle, split: ds.Dataset, budget: ModelBudget, refused: str | None) -> list[Check]:
    """The server's runtime against onnxruntime asked directly, and rows one by one against rows together.

    `refused` says why the model may not be run, if so.
    """
    if refused:
        return not_run(GATE, PROBE, refused)
    rows = window.sample(split, [column.name for column in bundle.manifest.inputs], ROWS)
    try:
        model = Model(bundle)
        feeds = model.feeds(columns(rows, bundle.manifest.inputs))
    except InputError as error:
        return not_run(GATE, PROBE, str(error))
    through = model.run(feeds)
    session = ort.InferenceSession(bundle.model, providers=["CPUExecutionProvider"])
    names = list(through)
    direct = dict(zip(names, session.run(names, feeds), strict=True))
    few = {name: values[:SINGLE] for name, values in feeds.items()}
    single = [
        model.run({name: values[place : place + 1] for name, values in few.items()})
        for place in range(min(SINGLE, rows.num_rows))
    ]
    alone = {name: np.concatenate([answer[name] for answer in single]) for name in names}
    apart = (
        _largest(through, direct),
        _largest(alone, {name: values[: len(single)] for name, values in through.items()}),
    )
    counts = (f"{rows.num_rows} rows of the test window", f"{len(single)} rows")
    return [
        _check(name, difference <= budget.parity_tolerance, difference, budget.parity_tolerance, f"over {count}")
        for name, difference, count in zip(PROBE, apart, counts, strict=True)
    ]


def _largest(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """The largest absolute difference; infinite where one has no number and the other has."""
    differences = [np.abs(one[name].astype(np.float64) - other[name]) for name in one]
    return float(max(np.nan_to_num(difference, nan=np.inf).max(initial=0) for difference in differences))


def _check(name: str, good: bool, value: float, threshold: float, detail: str) -> Check:
    return Check(
        gate=GATE, name=name, status="pass" if good else "fail", value=value, threshold=threshold, detail=detail
    )
