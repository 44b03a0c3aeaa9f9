"""The champion gate: promote if and only if the interval's lower end is above minus the margin, nobody suffers, and clients fit."""

import msgspec
import numpy as np
import pytest

from contracts.bundle import Bundle, Input, Output
from contracts.report import Check
from pipelines.validation import champion, window
from pipelines.validation.window import NotRun, Window
from tests import bundles
from tests.validation import station


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """What runs: the same model, a little more optimistic."""
    return bundles.write(tmp_path_factory.mktemp("other"), shift=0.25, version="0")


def judge(
    candidate: Bundle, runs: Bundle | None, predicted: Window | NotRun, accepted: tuple[str, ...] = ()
) -> dict[str, Check]:
    checks, _ = champion.check_champion(candidate, runs, predicted, accepted, station.asked())
    return {check.name: check for check in checks}


def refused(checks: dict[str, Check]) -> set[str]:
    return {name for name, check in checks.items() if check.refused}


def challenge(predicted: Window, seed: int = 0, noise: float = 0.0, **worse: float) -> Window:
    """The candidate's predictions as the champion's; the candidate gets noise, in some segments more."""
    random = np.random.default_rng(seed)
    score = predicted.predictions["candidate"].astype(float)
    station_of = np.array(predicted.segments["station"].names)[predicted.segments["station"].codes]
    spread = np.full(predicted.rows, noise)
    for name, amount in worse.items():
        spread[station_of == name] = amount
    changed = score + spread * random.standard_normal(predicted.rows)
    return msgspec.structs.replace(predicted, predictions={"candidate": changed, "champion": score})


def test_a_first_release_has_nothing_to_compare_with_and_is_not_refused(model: Bundle, predicted: Window) -> None:
    checks = judge(model, None, predicted)
    assert refused(checks) == set()
    assert {check.status for check in checks.values()} == {"not_run"}
    assert all("first release" in check.detail for check in checks.values())


@pytest.mark.parametrize("seed", range(5))
def test_the_same_model_passes_on_clean_resamples(model: Bundle, other: Bundle, seed: int, tmp_path) -> None:
    split = station.dataset(station.rows(model, station.DAYS["test"], seed=seed), tmp_path, "test")
    predicted = window.predict(split, {"candidate": model, "champion": other}, 2048)
    checks = judge(model, other, predicted)
    assert refused(checks) == set()
    assert checks["not worse than the champion"].value == pytest.approx(0, abs=0.002)


@pytest.mark.parametrize("seed", range(5))
def test_a_worse_model_is_refused(model: Bundle, other: Bundle, predicted: Window, seed: int) -> None:
    checks = judge(model, other, challenge(predicted, seed, noise=0.3))
    assert "not worse than the champion" in refused(checks)
    assert "over 50 days, 95% interval, 300 resamples of days, seed 1" in checks["not worse than the champion"].detail


def test_the_verdict_is_the_lower_end_against_the_margin(model: Bundle, other: Bundle, predicted: Window) -> None:
    for noise in (0.0, 0.02, 0.05, 0.1, 0.2):
        check = judge(model, other, challenge(predicted, noise=noise))["not worse than the champion"]
        assert (check.status == "pass") == (check.value > -station.BUDGETS.quality.champion_margin)


@pytest.mark.parametrize("seed", range(3))
def test_one_segment_that_suffers_refuses(model: Bundle, other: Bundle, predicted: Window, seed: int) -> None:
    checks = judge(model, other, challenge(predicted, seed, west=3.0))
    assert "no segment worse" in refused(checks)
    assert checks["no segment worse"].detail.startswith("station west:")


def test_noise_in_small_segments_does_not_refuse(model: Bundle, other: Bundle, predicted: Window) -> None:
    """Sixty segments of chance: one in twenty would look worse without Holm's correction."""
    random = np.random.default_rng(11)
    names = tuple(f"s{number}" for number in range(12))
    refusals = 0
    for seed in range(5):
        codes = random.integers(0, len(names), predicted.rows).astype(np.int32)
        shuffled = msgspec.structs.replace(
            challenge(predicted, seed, noise=0.05), segments={"chance": window.Segment(names=names, codes=codes)}
        )
        refusals += "no segment worse" in refused(judge(model, other, shuffled))
    assert refusals == 0


def test_the_same_seed_gives_the_same_verdict(model: Bundle, other: Bundle, predicted: Window) -> None:
    compared = challenge(predicted, noise=0.05)
    assert judge(model, other, compared) == judge(model, other, compared)


def with_manifest(model: Bundle, **changes: object) -> Bundle:
    return msgspec.structs.replace(model, manifest=msgspec.structs.replace(model.manifest, **changes))


def test_a_new_column_breaks_the_clients_of_what_runs(model: Bundle, other: Bundle, predicted: Window) -> None:
    inputs = model.manifest.inputs
    fewer = with_manifest(other, inputs=inputs[:-1])
    checks = judge(model, fewer, challenge(predicted))
    assert refused(checks) == {"inputs are compatible"}
    assert "holiday is a new column" in checks["inputs are compatible"].detail
    assert refused(judge(model, fewer, challenge(predicted), accepted=("holiday",))) == set()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"inputs": (*bundles.INPUTS, Input(name="wind", dtype="float32"))}, "wind is gone"),
        ({"inputs": (Input(name="station", dtype="int64"), *bundles.INPUTS[1:])}, "station is string now"),
        (
            {"inputs": (*bundles.INPUTS[:2], Input(name="hour", dtype="int64", nullable=True), bundles.INPUTS[3])},
            "hour may no longer",
        ),
        ({"outputs": (Output(name="chance"),)}, "outputs have other names"),
    ],
)
def test_what_else_breaks_clients(model: Bundle, other: Bundle, predicted: Window, change: dict, word: str) -> None:
    check = judge(model, with_manifest(other, **change), challenge(predicted))["inputs are compatible"]
    assert check.status == "fail"
    assert word in check.detail


def test_a_champion_of_another_target_cannot_be_compared(model: Bundle, other: Bundle, predicted: Window) -> None:
    checks = judge(model, with_manifest(other, target="snow"), challenge(predicted))
    assert checks["not worse than the champion"].status == "not_run"
    assert "not worse than the champion" in refused(checks)


def test_a_champion_with_fewer_columns_runs_on_those_it_wants(model: Bundle, splits, tmp_path) -> None:
    """The champion's own columns are read, whatever the candidate takes."""
    contents = bundles.tiny(shift=0.1)
    runs = bundles.write(tmp_path, shift=0.1)
    rows = splits["test"].to_table()
    more = station.dataset(rows.append_column("wind", rows.column("hour")), tmp_path, "more")
    predicted = window.predict_both(more, model, runs, 4096)
    assert predicted.predictions.keys() == {"candidate", "champion"}
    assert contents.manifest.inputs == runs.manifest.inputs


def test_a_champion_whose_column_is_gone_did_not_run_and_says_why(
    model: Bundle, other: Bundle, splits, predicted: Window
) -> None:
    wants = with_manifest(other, inputs=(*other.manifest.inputs, Input(name="wind", dtype="float32")))
    found = window.predict_both(splits["test"], model, wants, 4096)
    assert found.rows == predicted.rows
    checks = judge(model, wants, found)
    assert "not worse than the champion" in refused(checks)
    assert "wind" in checks["not worse than the champion"].detail
