"""The parity gate refuses when network, graph and runtime disagree, or when they were not compared for this bundle."""

from types import SimpleNamespace

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import dataset as ds

from contracts.bundle import Bundle
from pipelines.validation import parity
from serving.runtime import Model
from tests.validation import station

BUDGET = station.BUDGETS.model


def measured(model: Bundle, error: float = 1e-7, digest: str | None = None) -> SimpleNamespace:
    """As packaging's document, whose module needs torch."""
    return SimpleNamespace(digest=digest or model.digest, rows=5000, maximum_error=error)


def test_the_network_and_its_graph_agree_within_the_tolerance(model: Bundle) -> None:
    assert parity.check_trained(model, measured(model), BUDGET).status == "pass"
    assert parity.check_trained(model, measured(model, error=2e-4), BUDGET).status == "fail"
    assert parity.check_trained(model, measured(model, error=float("inf")), BUDGET).status == "fail"


def test_a_measurement_of_another_bundle_did_not_run(model: Bundle) -> None:
    check = parity.check_trained(model, measured(model, digest="sha256:" + "0" * 64), BUDGET)
    assert check.status == "not_run"
    assert check.refused


def test_the_runtime_gives_the_graphs_numbers_alone_and_together(model: Bundle, splits: dict[str, ds.Dataset]) -> None:
    checks = parity.check_runtime(model, splits["test"], BUDGET, None)
    assert [check.status for check in checks] == ["pass", "pass"]
    assert all(check.value < 1e-6 for check in checks)


def test_a_runtime_that_answers_otherwise_is_refused(model: Bundle, splits, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Model.run
    monkeypatch.setattr(
        Model,
        "run",
        lambda self, feeds: {
            name: values + np.float32(0.001 * (len(values) > 1)) for name, values in honest(self, feeds).items()
        },
    )
    assert [check.status for check in parity.check_runtime(model, splits["test"], BUDGET, None)] == ["fail", "fail"]


def test_rows_that_the_runtime_does_not_take_did_not_run(model: Bundle, splits, test_rows, tmp_path) -> None:
    empty = station.replace(test_rows, "hour", pa.nulls(test_rows.num_rows, pa.int64()))
    checks = parity.check_runtime(model, station.dataset(empty, tmp_path, "empty"), BUDGET, None)
    assert all(check.refused and "hour" in check.detail for check in checks)


def test_a_regressions_numbers_are_compared_too(splits, tmp_path) -> None:
    from tests import bundles

    checks = parity.check_runtime(
        bundles.write(tmp_path, "multiclass"), splits["test"], msgspec.structs.replace(BUDGET), None
    )
    assert [check.status for check in checks] == ["pass", "pass"]
