"""What is special about the reference data: flights out of New York in 2013."""

import datetime as dt
from pathlib import Path

import ibis
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from contracts import budgets
from pipelines.datasets import SourceTables
from pipelines.features.point_in_time import compute
from pipelines.ingestion import nodes
from pipelines.ingestion.contract import Checked
from pipelines.schema import Schema, load
from tests.pipelines import orders


@pytest.fixture(scope="module")
def schema(root: Path) -> Schema:
    return load(root / "conf/base/schema.yml")


@pytest.fixture(scope="module")
def sources(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ibis.Table]:
    """The sources that the catalog names, unpacked into a folder of the test."""
    bootstrap_project(root)
    with KedroSession.create(root) as session:
        catalog = session._get_config_loader()["catalog"]
    settings = {name: value for name, value in catalog["sources"].items() if name in ("tables", "connection")}
    settings["connection"]["temp_directory"] = str(tmp_path_factory.mktemp("spill"))
    return SourceTables(unpacked={"path": str(tmp_path_factory.mktemp("unpacked"))}, **settings).load()


@pytest.fixture(scope="module")
def checked(sources: dict[str, ibis.Table], schema: Schema, root: Path) -> tuple[dict[str, Checked], dict[str, str]]:
    found, _, report = nodes.check(sources, schema, budgets.load(root / "conf/base/budgets.yml"))
    assert report.passed
    return found, report.facts


def test_every_flight_is_labelled_cancelled_or_diverted(checked: tuple[dict[str, Checked], dict[str, str]]) -> None:
    tables, facts = checked
    counts = {kind: int(facts[f"{kind} rows"].replace(",", "")) for kind in ("labelled", "cancelled", "diverted")}
    assert counts == {"labelled": 327_346, "cancelled": 8_255, "diverted": 1_175}
    assert sum(counts.values()) == tables["flights"].rows == 336_776


def test_keys_are_unique_and_one_impossible_wind_is_in_quarantine(
    checked: tuple[dict[str, Checked], dict[str, str]],
) -> None:
    tables, _ = checked
    assert {name: table.reasons for name, table in tables.items()} == {
        "flights": {},
        "weather": {"wind_speed: is above 200": 1},
        "planes": {},
    }


@pytest.fixture(scope="module")
def two_nights(checked: tuple[dict[str, Checked], dict[str, str]]) -> dict[str, ibis.Table]:
    """The tables around the two days on which the clocks were changed, in memory."""
    tables = {name: table.kept for name, table in checked[0].items()}
    backend = tables["flights"].get_backend()

    def near(times: ibis.Value) -> ibis.Value:
        spring, autumn = ((dt.date(2013, 3, 9), dt.date(2013, 3, 12)), (dt.date(2013, 11, 2), dt.date(2013, 11, 5)))
        return times.between(*spring) | times.between(*autumn)

    small = {name: table.filter(near(table.time_hour)) for name, table in tables.items() if name != "planes"}
    return {
        name: orders.table(backend, table.to_pyarrow()) for name, table in {**small, "planes": tables["planes"]}.items()
    }


def test_departures_are_utc_and_the_local_clock_moves_by_an_hour(two_nights: dict[str, ibis.Table]) -> None:
    flights = two_nights["flights"].to_pyarrow().to_pylist()
    lag = {}
    for flight in flights:
        local = dt.datetime(flight["year"], flight["month"], flight["day"], flight["hour"], flight["minute"])  # noqa: DTZ001
        lag.setdefault(local.date(), set()).add((flight["departs_at"] - local) // dt.timedelta(hours=1))
    assert lag[dt.date(2013, 3, 9)] == {5}
    assert lag[dt.date(2013, 3, 10)] == {4}  # no flight left before two at night
    assert lag[dt.date(2013, 11, 2)] == {4}
    assert lag[dt.date(2013, 11, 3)] == {5}


def test_local_hours_repeat_when_summer_time_ends_and_utc_hours_do_not(sources: dict[str, ibis.Table]) -> None:
    weather = sources["weather"]
    local = weather.group_by(["origin", "year", "month", "day", "hour"]).having(ibis._.count() > 1).aggregate()
    utc = weather.group_by(["origin", "time_hour"]).having(ibis._.count() > 1).aggregate()
    assert local.to_pyarrow()["month"].to_pylist() == ["11", "11", "11"]
    assert utc.count().to_pyarrow().as_py() == 0


def test_a_flight_sees_the_last_weather_report_of_its_airport(
    two_nights: dict[str, ibis.Table], schema: Schema
) -> None:
    rows = compute(two_nights["flights"], two_nights, schema).to_pyarrow().to_pylist()
    reports = {(row["origin"], row["time_hour"]): row for row in two_nights["weather"].to_pyarrow().to_pylist()}
    seen = 0
    for row in rows:
        hour = (row["prediction_time"] - dt.timedelta(hours=1)).replace(minute=0)
        if (report := reports.get((row["origin"], hour))) is not None:
            assert row["temperature"] == report["temp"]
            seen += 1
    assert seen > 0.9 * len(rows) > 1000


def test_no_flight_is_counted_before_it_left(two_nights: dict[str, ibis.Table], schema: Schema) -> None:
    flights = two_nights["flights"].to_pyarrow().to_pylist()
    rows = compute(two_nights["flights"], two_nights, schema).to_pyarrow().to_pylist()
    for row in rows[:: len(rows) // 25]:
        now, day = row["prediction_time"], dt.timedelta(hours=1)
        left = [f["dep_delay"] for f in flights if f["departed_at"] and now - day < f["departed_at"] <= now]
        assert row["delay_1h"] == (pytest.approx(sum(left) / len(left)) if left else None)
