import numpy as np
import pytest

from pipelines.training import calibration
from pipelines.training.calibration import Calibration


def truth(rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    score = random.normal(0, 1.5, rows)
    return score, (random.random(rows) < 1 / (1 + np.exp(-score))).astype(np.float32)


def test_scores_that_are_too_sure_of_themselves_are_taken_back():
    score, label = truth()
    found = calibration.fit("binary", (3 * score + 1)[:, None].astype(np.float32), label)

    assert found.scale == pytest.approx(1 / 3, rel=0.1)
    assert found.shift[0] == pytest.approx(-1 / 3, abs=0.1)


def test_classes_that_are_asked_for_too_often_are_taken_back():
    random = np.random.default_rng(0)
    scores = random.normal(0, 1, (4000, 3))
    labels = np.array([random.choice(3, p=np.exp(row) / np.exp(row).sum()) for row in scores])
    distorted = (2 * scores + [1.0, 0.0, -1.0]).astype(np.float32)
    found = calibration.fit("multiclass", distorted, labels)

    before, after = (calibration.loss("multiclass", scores, labels) for scores in (distorted, found.apply(distorted)))
    assert after < before - 0.05
    assert after == pytest.approx(calibration.loss("multiclass", scores, labels), abs=0.005)


def test_a_regression_gets_the_least_squares_line():
    score = np.linspace(-1, 1, 100)
    found = calibration.fit("regression", score[:, None], 0.5 * score + 0.25)

    assert (found.scale, *found.shift) == pytest.approx((0.5, 0.25), abs=1e-4)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_validation_loss_never_gets_worse(task, seed):
    random = np.random.default_rng(seed)
    rows, width = int(random.integers(2, 60)), 3 if task == "multiclass" else 1
    scores = random.normal(0, 10 ** random.uniform(-3, 2), (rows, width)).astype(np.float32)
    labels = random.normal(size=rows) if task == "regression" else random.integers(0, max(width, 2), rows)
    found = calibration.fit(task, scores, labels)

    assert found.scale > 0
    assert calibration.loss(task, found.apply(scores), labels) <= calibration.loss(task, scores, labels)


def test_scores_that_say_the_opposite_are_left_alone_rather_than_turned_around():
    score, label = truth()

    assert calibration.fit("binary", -score[:, None], label) == Calibration()
