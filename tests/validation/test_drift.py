"""Drift is advice: it says what moved, and never refuses."""

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import dataset as ds

from contracts.bundle import Bundle, CategoricalProfile, NumericProfile, ReferenceProfile
from contracts.report import Check
from pipelines.validation import drift
from pipelines.validation.window import NotRun
from tests.validation import station

NOTHING = NotRun(reason="")


@pytest.fixture(scope="module")
def profiled(model: Bundle, train_rows: pa.Table) -> Bundle:
    """The tiny bundle with the profile of the rows it was trained on."""
    temperature = train_rows.column("temperature").drop_null().to_numpy()
    edges = np.quantile(temperature, np.linspace(0, 1, 11)[1:-1])
    inputs = {
        "temperature": NumericProfile(
            edges=edges.tolist(),
            counts=np.bincount(np.searchsorted(edges, temperature, side="left"), minlength=10).tolist(),
            missing=train_rows.column("temperature").null_count,
        ),
        "station": CategoricalProfile(counts={"north": 4760, "south": 3570, "east": 2380}, other=1190, missing=100),
        "holiday": CategoricalProfile(counts={"false": 11_300, "true": 600}, other=0, missing=0),
    }
    return msgspec.structs.replace(
        model, profile=ReferenceProfile(rows=train_rows.num_rows, inputs=inputs, predictions=model.profile.predictions)
    )


def moved(bundle: Bundle, split: ds.Dataset) -> tuple[set[str], list[Check]]:
    checks = drift.check_drift(bundle, split, NOTHING, station.BUDGETS.drift, 512)
    return {check.name for check in checks if check.status == "warn"}, checks


@pytest.mark.parametrize("seed", range(5))
def test_clean_resamples_did_not_move(profiled: Bundle, model: Bundle, seed: int, tmp_path) -> None:
    split = station.dataset(station.rows(model, station.DAYS["test"], seed=seed), tmp_path, "test")
    warned, checks = moved(profiled, split)
    assert warned == set()
    assert checks[0].value < 0.05


def test_what_moved_is_named_and_does_not_refuse(profiled: Bundle, test_rows: pa.Table, tmp_path) -> None:
    warm = station.replace(
        test_rows, "temperature", pa.array(test_rows.column("temperature").to_numpy() + 12, from_pandas=True)
    )
    warned, checks = moved(profiled, station.dataset(warm, tmp_path, "warm"))
    assert warned == {"inputs", "input temperature"}
    assert not any(check.refused for check in checks)


def test_new_and_missing_categories_are_bins_of_their_own(profiled: Bundle, test_rows: pa.Table, tmp_path) -> None:
    names = np.arange(test_rows.num_rows) % 3
    other = station.replace(test_rows, "station", np.where(names == 0, "offshore", "north"))
    assert "input station" in moved(profiled, station.dataset(other, tmp_path, "other"))[0]
    gone = station.replace(test_rows, "station", pa.array(["north"] * test_rows.num_rows, mask=names == 0))
    assert "input station" in moved(profiled, station.dataset(gone, tmp_path, "gone"))[0]


def test_the_index_is_the_textbooks(profiled: Bundle) -> None:
    profile = CategoricalProfile(counts={"a": 5000, "b": 5000}, other=0, missing=0)
    found = drift.index(profile, np.array([7500, 2500, 0, 0]))
    assert found == pytest.approx(0.25 * np.log(0.75 / 0.5) - 0.25 * np.log(0.25 / 0.5), rel=1e-3)


def test_an_edge_belongs_to_the_bin_below_it() -> None:
    profile = NumericProfile(edges=[1.0, 2.0], counts=[1, 1, 1], missing=0)
    assert drift.bins(profile, pa.array([1.0, 1.5, 2.0, 2.5, None])).tolist() == [1, 2, 1, 1]


def test_too_few_rows_say_nothing(profiled: Bundle, test_rows: pa.Table, tmp_path) -> None:
    (check,) = drift.check_drift(
        profiled, station.dataset(test_rows.slice(0, 499), tmp_path, "few"), NOTHING, station.BUDGETS.drift, 512
    )
    assert check.status == "not_run"
    assert not check.refused
