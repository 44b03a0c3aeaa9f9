"""Drift, as advice: how far the test window lies from what the model was trained on.

Seasons move features far more than they move a model's quality, so this never blocks: the quality gate does.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from pyarrow import dataset as ds

from contracts.budgets import Drift
from contracts.bundle import Bundle, CategoricalProfile, NumericProfile
from contracts.report import Check, Status
from pipelines.validation import window
from pipelines.validation.window import NotRun, Window

GATE = "drift"
NAMED = 5  # the columns that moved most have a line of their own
SMOOTHING = 0.5  # rows added to every bin: an empty one would make the index infinite

Profile = NumericProfile | CategoricalProfile


def check_drift(
    bundle: Bundle, split: ds.Dataset, predicted: Window | NotRun, budget: Drift, batch_rows: int
) -> list[Check]:
    """The population stability index of every input and of the predictions, against the bundle's reference profile."""
    rows = split.count_rows()
    if rows < budget.minimum_rows:
        detail = f"{rows} rows are too few: the index of {budget.minimum_rows} is mostly noise"
        return [Check(gate=GATE, name="inputs", status="not_run", detail=detail, blocking=False)]
    profiles = bundle.profile.inputs
    found = {name: index(profiles[name], counts) for name, counts in count(split, profiles, batch_rows).items()}
    moved = sorted((name for name, value in found.items() if value > budget.psi), key=lambda name: -found[name])
    summary = f"{len(moved)} of {len(found)} inputs moved" + (f": {', '.join(moved)}" if moved else "")
    checks = [_check("inputs", max(found.values(), default=0.0), budget, summary)]
    checks += [_check(f"input {name}", found[name], budget, "") for name in moved[:NAMED]]
    return checks + _predictions(bundle, predicted, budget)


def count(split: ds.Dataset, profiles: Mapping[str, Profile], batch_rows: int) -> dict[str, np.ndarray]:
    """How many rows of the split lie in each bin of each profile, in the order of `expected`; streams."""
    names = [name for name in profiles if name in split.schema.names]
    totals: dict[str, np.ndarray] = {name: np.zeros(len(expected(profiles[name])), np.int64) for name in names}
    for batch in window.batches(split, names, batch_rows):
        for name in names:
            totals[name] += bins(profiles[name], batch.column(name))
    return totals


def expected(profile: Profile) -> np.ndarray:
    """The profile's counts: its bins or categories, then (for categories) the others, then the missing."""
    if isinstance(profile, NumericProfile):
        return np.array([*profile.counts, profile.missing])
    return np.array([*profile.counts.values(), profile.other, profile.missing])


def bins(profile: Profile, values: pa.Array) -> np.ndarray:
    """Counts of `values` in the profile's bins, in the order of `expected`."""
    if isinstance(profile, NumericProfile):
        numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        known = numbers[~np.isnan(numbers)]
        places = np.searchsorted(profile.edges, known, side="left")  # bin i holds edges[i-1] < x <= edges[i]
        return np.array([*np.bincount(places, minlength=len(profile.edges) + 1), len(numbers) - len(known)])
    names = {name: place for place, name in enumerate(profile.counts)}
    totals: np.ndarray = np.zeros(len(names) + 2, np.int64)
    for entry in values.cast(pa.string()).value_counts().to_pylist():
        name = entry["values"]
        totals[-1 if name in (None, "") else names.get(name, len(names))] += entry["counts"]
    return totals


def index(profile: Profile, counts: np.ndarray) -> float:
    """Population stability index: sum of (q - p) ln(q / p) over the bins that either side has."""
    reference = expected(profile)
    used = (reference > 0) | (counts > 0)
    p, q = (values[used] + SMOOTHING for values in (reference, counts))
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def _predictions(bundle: Bundle, predicted: Window | NotRun, budget: Drift) -> list[Check]:
    profile = bundle.profile.predictions.get(bundle.manifest.outputs[0].name)
    if profile is None or isinstance(predicted, NotRun) or predicted.predictions["candidate"].ndim > 1:
        return []
    counts = bins(profile, pa.array(predicted.predictions["candidate"].astype(np.float64)))
    return [_check("predictions", index(profile, counts), budget, "")]


def _check(name: str, value: float, budget: Drift, detail: str) -> Check:
    status: Status = "warn" if value > budget.psi else "pass"
    return Check(gate=GATE, name=name, status=status, value=value, threshold=budget.psi, detail=detail, blocking=False)
