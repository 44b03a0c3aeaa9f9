"""Calibration: do predictions mean what they say? Of the rows given 30 %, 30 % should happen."""

import numpy as np
from msgspec import Struct

BINS = 10


class Calibration(Struct, frozen=True, kw_only=True):
    """Mean prediction and mean outcome in bins of equal count, ascending, and their mean distance."""

    predicted: np.ndarray
    observed: np.ndarray
    rows: np.ndarray
    error: float


def measure(task: str, label: np.ndarray, prediction: np.ndarray, bins: int = BINS) -> Calibration:
    """Expected calibration error: the mean over the rows of |mean prediction - mean outcome| of their bin.

    Of several classes the likeliest one is judged, against whether it came. For a regression the error is in standard
    deviations of the label.
    """
    if prediction.ndim == 2:
        label, prediction = (prediction.argmax(axis=1) == label).astype(np.float64), prediction.max(axis=1)
    prediction = prediction.astype(np.float64)
    parts = np.array_split(np.argsort(prediction, kind="stable"), bins)
    parts = [part for part in parts if len(part)]
    predicted = np.array([prediction[part].mean() for part in parts])
    observed = np.array([label[part].mean() for part in parts])
    rows = np.array([len(part) for part in parts])
    unit = float(label.std()) or 1.0 if task == "regression" else 1.0
    error = float((np.abs(predicted - observed) * rows).sum() / rows.sum()) / unit
    return Calibration(predicted=predicted, observed=observed, rows=rows, error=error)
