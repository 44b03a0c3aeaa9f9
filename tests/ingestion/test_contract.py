from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts import budgets
from contracts.budgets import Budgets
from contracts.errors import InputError
from pipelines.ingestion import contract, nodes
from tests.pipelines import orders
from tests.pipelines.orders import SCHEMA

GOOD = {"number": "1", "placed": "2024-03-01T10:00:00Z", "shop": "ada", "customer": "x", "amount": "20"}
UNSETTLED = {"returned": None, "refund": None, "settled": None}


@pytest.fixture(scope="module")
def backend() -> ibis.BaseBackend:
    return ibis.duckdb.connect(threads=2)


def text(backend: ibis.BaseBackend, *rows: dict[str, str | None]) -> ibis.Table:
    """A source as a CSV file gives it: every column is text."""
    names = [*GOOD, *UNSETTLED, "note"]
    found = [{**GOOD, **UNSETTLED, "note": None, **row} for row in rows]
    return orders.table(backend, pa.Table.from_pylist(found, pa.schema([(name, pa.string()) for name in names])))


def reasons(source: ibis.Table) -> dict[str, int]:
    return contract.check("orders", source, SCHEMA.tables["orders"]).reasons


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"number": "one"}, "number: is not int64"),
        ({"number": "1.5"}, "number: is not int64"),
        ({"number": None}, "number: is missing"),
        ({"number": "0"}, "number: is below 1"),
        ({"placed": "yesterday"}, "placed: is not timestamp"),
        ({"shop": ""}, "shop: is missing"),
        ({"shop": "Ada"}, "shop: does not match [a-z]+"),
        ({"amount": "NaN"}, "amount: is not a finite number"),
        ({"amount": "1000.5"}, "amount: is above 1000"),
        ({"returned": "perhaps"}, "returned: is not bool"),
    ],
)
def test_a_row_that_breaks_the_contract_is_refused_with_the_reason(
    backend: ibis.BaseBackend, row: dict[str, str | None], reason: str
) -> None:
    assert reasons(text(backend, {"number": "7"}, {"number": "8", **row})) == {reason: 1}


def test_an_allowed_value_is_one_of_a_list(backend: ibis.BaseBackend, tmp_path: Path) -> None:
    changed = orders.document()
    changed["tables"]["orders"]["columns"]["shop"] = {"type": "string", "allowed": ["ada", "o'hara"]}
    table = orders.schema(tmp_path, changed).tables["orders"]
    source = text(backend, {"number": "1"}, {"number": "2", "shop": "o'hara"}, {"number": "3", "shop": "bob"})
    assert contract.check("orders", source, table).reasons == {"shop: is not an allowed value": 1}


def test_rows_that_share_a_key_are_all_refused(backend: ibis.BaseBackend) -> None:
    checked = contract.check("orders", text(backend, {}, {"amount": "30"}, {"number": "2"}), SCHEMA.tables["orders"])
    assert checked.reasons == {"number: more than one row has this key": 2}
    assert checked.kept.to_pyarrow()["number"].to_pylist() == [2]
    assert sorted(checked.refused.to_pyarrow()["amount"].to_pylist()) == ["20", "30"]


def test_times_are_utc_whatever_zone_they_are_written_in(backend: ibis.BaseBackend) -> None:
    written = ["2024-03-01T10:00:00Z", "2024-03-01 10:00:00", "2024-03-01T12:00:00+02:00", "2024-03-01T05:00:00-05:00"]
    source = text(backend, *({"number": str(n), "placed": time} for n, time in enumerate(written, 1)))
    kept = contract.check("orders", source, SCHEMA.tables["orders"]).kept.to_pyarrow()
    assert set(kept["placed"].to_pylist()) == {orders.at(10)}
    assert set(kept["hour"].to_pylist()) == {10}


def test_kept_rows_have_the_columns_of_the_schema_and_refused_ones_those_of_the_source(
    backend: ibis.BaseBackend,
) -> None:
    checked = contract.check("orders", text(backend, {}, {"number": "x", "note": "!"}), SCHEMA.tables["orders"])
    assert checked.kept.columns == (*SCHEMA.tables["orders"].columns, "hour")
    assert checked.kept.schema()["amount"].is_float64()
    refused = checked.refused.to_pyarrow().to_pylist()
    assert (refused[0]["number"], refused[0]["note"], refused[0]["reason"]) == ("x", "!", "number: is not int64")


def test_typed_columns_of_a_parquet_file_are_taken_as_they_are(backend: ibis.BaseBackend) -> None:
    source = orders.table(backend, pa.Table.from_pylist([orders.order(1, 10)], orders.ORDERS))
    assert contract.check("orders", source, SCHEMA.tables["orders"]).kept.count().execute() == 1


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "number": st.sampled_from(["1", "2", "3", "x", None, "-4"]),
                "shop": st.sampled_from(["ada", "Bob", ""]),
                "amount": st.sampled_from(["1", "2e9", "inf", "?"]),
            }
        ),
        min_size=1,
        max_size=12,
    )
)
def test_every_row_is_either_kept_or_in_quarantine(backend: ibis.BaseBackend, rows: list[dict[str, Any]]) -> None:
    checked = contract.check("orders", text(backend, *rows), SCHEMA.tables["orders"])
    kept, refused = checked.kept.to_pyarrow(), checked.refused.to_pyarrow()
    assert len(kept) + len(refused) == checked.rows == len(rows)
    assert len(refused) == checked.refusals
    assert len(set(kept["number"].to_pylist())) == len(kept)


def test_a_missing_column_is_one_line(backend: ibis.BaseBackend) -> None:
    with pytest.raises(InputError, match=r"^orders: amount: the source has no such column; it has number, placed"):
        contract.check("orders", text(backend, {}).drop("amount"), SCHEMA.tables["orders"])


def test_an_empty_table_is_one_line(backend: ibis.BaseBackend) -> None:
    with pytest.raises(InputError, match=r"^orders: the source is empty; check the file"):
        contract.check("orders", text(backend), SCHEMA.tables["orders"])


@pytest.fixture
def allowed(root: Path) -> Budgets:
    return budgets.load(root / "conf/base/budgets.yml")


def sources(backend: ibis.BaseBackend, *rows: dict[str, str | None]) -> dict[str, ibis.Table]:
    prices = pa.Table.from_pylist([{"shop": "ada", "since": orders.at(1)}], orders.PRICES)
    shops = pa.Table.from_pylist([{"shop": "ada"}], orders.SHOPS)
    return {
        "orders": text(backend, *rows),
        "prices": orders.table(backend, prices),
        "shops": orders.table(backend, shops),
    }


def test_a_missing_table_is_one_line(backend: ibis.BaseBackend, allowed: Budgets) -> None:
    with pytest.raises(InputError, match=r"^sources: shops: schema.yml wants this table"):
        nodes.check({"orders": text(backend, {}), "prices": text(backend, {})}, SCHEMA, allowed)


def test_the_report_counts_rows_reasons_and_labels(backend: ibis.BaseBackend, allowed: Budgets) -> None:
    settled = {"number": "2", "returned": "true", "settled": "2024-03-02T10:00:00Z"}
    found = sources(backend, {}, settled, *({"number": str(n)} for n in range(3, 203)), {"number": "x"})
    _, quarantine, report = nodes.check(found, SCHEMA, allowed)
    assert report.passed
    assert list(quarantine) == ["orders"]
    assert report.checks[0].detail == "1 × number: is not int64"
    assert report.facts["orders rows"] == "203"
    assert (report.facts["labelled rows"], report.facts["open rows"]) == ("1", "201")


def test_more_broken_rows_than_the_budget_allows_stop_the_run(backend: ibis.BaseBackend, allowed: Budgets) -> None:
    checked, quarantine, report = nodes.check(sources(backend, {}, {"number": "x"}), SCHEMA, allowed)
    assert "orders" in quarantine
    with pytest.raises(InputError) as refused:
        nodes.keep(checked, report)
    assert str(refused.value).startswith("orders: 50.00% of its rows break the contract, 1.00% are allowed")
    assert "1 × number: is not int64" in str(refused.value)
    assert "\n" not in str(refused.value)
