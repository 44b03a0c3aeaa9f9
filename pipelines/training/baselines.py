"""What the network has to beat, on the same features: a linear model and gradient boosting, by scikit-learn.

Neither is weakened: the linear one gets every category one-hot, missing indicators, and the best of several
regularisations on the validation split; boosting gets categories as such and stops early on the validation split.
Their rows are capped by a parameter, because both hold all of them in memory.
"""

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, mean_squared_error

from pipelines.training.encoding import Encoded, Encoding
from pipelines.training.parameters import Baselines

Predict = Callable[[Encoded], np.ndarray]  # encoded rows to float32 [n], or [n, classes]
BINS = 255  # of boosting, and so the number of values a category can have there


def linear_name(task: str) -> str:
    """What the linear baseline is called for a task."""
    return "linear" if task == "regression" else "logistic"


def fit(encoding: Encoding, train: Encoded, validation: Encoded, settings: Baselines, seed: int) -> dict[str, Predict]:
    """Fit both; gives their predictors by name."""
    return {
        linear_name(encoding.target.task): fit_linear(encoding, train, validation, settings),
        "boosting": fit_boosting(encoding, train, validation, settings, seed),
    }


def fit_linear(encoding: Encoding, train: Encoded, validation: Encoded, settings: Baselines) -> Predict:
    """Logistic regression, or ridge regression; the regularisation with the least validation loss."""
    task = encoding.target.task
    given, asked = design(encoding, train), design(encoding, validation)
    best: tuple[float, Predict] | None = None
    for strength in settings.regularisation:
        if task == "regression":
            model = Ridge(alpha=strength, solver="lsqr").fit(given, train.labels)
            loss = mean_squared_error(validation.labels, model.predict(asked))
        else:
            model = LogisticRegression(C=1 / strength, max_iter=300).fit(given, train.labels)
            loss = log_loss(validation.labels, model.predict_proba(asked), labels=model.classes_)
        if best is None or loss < best[0]:
            best = (loss, lambda rows, model=model: _predictions(model, encoding, design(encoding, rows)))
    assert best is not None
    return best[1]


def fit_boosting(encoding: Encoding, train: Encoded, validation: Encoded, settings: Baselines, seed: int) -> Predict:
    """Histogram gradient boosting with native categories, stopped early on the validation split."""
    regression = encoding.target.task == "regression"
    kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    texts = [index for index, category in enumerate(encoding.categories) if category.textual]

    def columns(rows: Encoded) -> np.ndarray:
        # Codes go by frequency, so what is cut off is rare. Integers are numbers: trees need no embedding of them.
        return np.concatenate([np.minimum(rows.codes[:, texts], BINS - 1).astype(np.float32), rows.numbers], axis=1)

    model = kind(
        learning_rate=settings.boosting_rate,
        max_iter=settings.boosting_iterations,
        categorical_features=list(range(len(texts))),
        early_stopping=True,
        n_iter_no_change=20,
        max_bins=BINS,
        random_state=seed,
    )
    model.fit(columns(train), train.labels, X_val=columns(validation), y_val=validation.labels)
    return lambda rows: _predictions(model, encoding, columns(rows))


def design(encoding: Encoding, rows: Encoded) -> csr_matrix:
    """The linear model's matrix: one-hot categories, standardised numbers (median if missing), missing indicators."""
    sizes = [category.size for category in encoding.categories]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    numbers = len(encoding.numbers)
    missing = np.isnan(rows.numbers)
    fill, low, high, mean, std = (
        np.array([getattr(number, name) for number in encoding.numbers], np.float32)
        for name in ("fill", "low", "high", "mean", "std")
    )
    known = (np.clip(np.where(missing, fill, rows.numbers), low, high) - mean) / std
    values = np.concatenate([np.ones(rows.codes.shape, np.float32), known, missing], axis=1, dtype=np.float32)
    places = np.empty(values.shape, np.int32)
    places[:, : len(sizes)] = rows.codes + starts[:-1]
    places[:, len(sizes) :] = starts[-1] + np.arange(2 * numbers, dtype=np.int32)
    ends = np.arange(rows.rows + 1, dtype=np.int32) * values.shape[1]
    matrix = csr_matrix((values.ravel(), places.ravel(), ends), shape=(rows.rows, starts[-1] + 2 * numbers))
    matrix.eliminate_zeros()
    return matrix


def _predictions(model: object, encoding: Encoding, columns: object) -> np.ndarray:
    """As the network gives them; a class that training did not show the baseline gets probability 0."""
    task = encoding.target.task
    if task == "regression":
        return model.predict(columns).astype(np.float32)  # type: ignore[attr-defined]
    found = model.predict_proba(columns).astype(np.float32)  # type: ignore[attr-defined]
    if task == "binary":
        return found[:, 1]
    everything: np.ndarray = np.zeros((len(found), encoding.target.width), np.float32)
    everything[:, model.classes_.astype(np.int64)] = found  # type: ignore[attr-defined]
    return everything
