import numpy as np
import pytest
from sklearn.metrics import log_loss, r2_score, roc_auc_score

from pipelines.training import baselines, batches
from pipelines.training.encoding import Category, Encoded, Encoding, Number, Target
from tests.training import small

ENCODING = Encoding(
    categories=(Category(name="c", values=("a", "b"), missing=True),),
    numbers=(Number(name="n", fill=5, mean=5, std=2, low=1, high=9, edges=(1.0, 9.0)),),
    target=Target(task="binary"),
)
SETTINGS = small.parameters().baselines


def test_the_linear_model_sees_categories_one_hot_numbers_scaled_and_what_is_missing():
    rows = Encoded(np.array([[2], [0], [1]]), np.array([[9], [np.nan], [100]], np.float32), np.zeros(3))

    assert baselines.design(ENCODING, rows).toarray().tolist() == [
        [0, 0, 1, 0, 2, 0],
        [1, 0, 0, 0, 0, 1],
        [0, 1, 0, 0, 2, 0],  # clipped to the range of training
    ]


@pytest.mark.parametrize("task", small.TASKS)
def test_both_learn_what_there_is_to_learn(task):
    made = small.finished(task)
    splits, encoding = made.catalog.load("splits"), made.catalog.load("model").description.encoding
    train, validation, test = (next(batches.ordered(splits[name], encoding, 10_000)) for name in splits)

    for name, predict in baselines.fit(encoding, train, validation, SETTINGS, 1).items():
        found = predict(test)
        assert found.dtype == np.float32
        if task == "binary":
            assert roc_auc_score(test.labels, found) > 0.8, name
        elif task == "regression":
            assert r2_score(test.labels, found) > 0.4, name
        else:
            assert log_loss(test.labels, found, labels=[0, 1, 2]) < 0.95, name  # 1.09 is knowing nothing


def test_the_regularisation_that_validates_best_is_taken():
    made = small.finished("binary")
    splits, encoding = made.catalog.load("splits"), made.catalog.load("model").description.encoding
    train, validation, _ = (next(batches.ordered(splits[name], encoding, 10_000)) for name in splits)

    def loss(*strengths: float) -> float:
        settings = small.parameters(baselines={"regularisation": strengths}).baselines
        return log_loss(validation.labels, baselines.fit_linear(encoding, train, validation, settings)(validation))

    assert loss(1e6, 1.0, 1e5) == loss(1.0) < loss(1e6)


def test_boosting_takes_more_categories_than_it_has_bins():
    random = np.random.default_rng(0)
    values = tuple(f"{number}" for number in range(400))
    encoding = Encoding(
        categories=(Category(name="c", values=values, missing=False),), numbers=(), target=Target(task="binary")
    )
    codes = random.integers(2, 402, (20_000, 1))
    rows = Encoded(codes, np.empty((20_000, 0), np.float32), (codes[:, 0] % 2).astype(np.float32))

    assert roc_auc_score(rows.labels, baselines.fit_boosting(encoding, rows, rows, SETTINGS, 1)(rows)) > 0.6


def test_a_class_that_the_baselines_rows_lack_gets_probability_zero():
    encoding = Encoding(
        categories=(), numbers=ENCODING.numbers, target=Target(task="multiclass", classes=("a", "b", "c"))
    )
    numbers = np.linspace(1, 9, 60, dtype=np.float32)[:, None]
    rows = Encoded(np.empty((60, 0), np.int64), numbers, np.where(numbers[:, 0] > 5, 2, 0))

    for predict in baselines.fit(encoding, rows, rows, SETTINGS, 1).values():
        found = predict(rows)
        assert found.shape == (60, 3)
        assert (found[:, 1] == 0).all()
        assert roc_auc_score(rows.labels == 2, found[:, 2]) > 0.99
