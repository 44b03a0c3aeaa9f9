"""Scores made into honest ones on the validation split: by a scale and a shift, nothing that could overfit it.

Binary: Platt's sigmoid(scale x score + shift). Multiclass: a temperature and a shift per class. Regression: the least
squares line. Doing nothing is among the candidates, so the validation loss never gets worse.
"""

import numpy as np
from msgspec import Struct
from scipy.optimize import minimize
from scipy.special import log_expit, log_softmax


class Calibration(Struct, frozen=True, kw_only=True):
    """scale x score + shift; one shift per score."""

    scale: float = 1.0
    shift: tuple[float, ...] = (0.0,)

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """Scores [n, width] as they should be, float64."""
        return scores.astype(np.float64) * self.scale + np.asarray(self.shift)


def fit(task: str, scores: np.ndarray, labels: np.ndarray) -> Calibration:
    """The calibration of `scores` [n, width] for `labels` [n] that has the least validation loss."""
    scores = scores.astype(np.float64)
    nothing = Calibration(shift=(0.0,) * scores.shape[1])
    # A handful of numbers: gradients by differences are exact enough, and the same everywhere.
    start = np.array([nothing.scale, *nothing.shift])
    found = minimize(lambda at: loss(task, _calibration(at).apply(scores), labels), start, method="L-BFGS-B").x
    best = _calibration(found)
    if best.scale <= 0 or loss(task, best.apply(scores), labels) > loss(task, scores, labels):
        return nothing
    return best


def loss(task: str, scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean log loss of scores [n, width], or mean squared error for a regression."""
    scores = scores.astype(np.float64)
    if task == "binary":
        return float(-np.mean(np.where(labels == 1, log_expit(scores[:, 0]), log_expit(-scores[:, 0]))))
    if task == "multiclass":
        return float(-np.mean(log_softmax(scores, axis=1)[np.arange(len(labels)), labels]))
    return float(np.mean((scores[:, 0] - labels) ** 2))


def _calibration(at: np.ndarray) -> Calibration:
    return Calibration(scale=float(at[0]), shift=tuple(float(shift) for shift in at[1:]))
