import datetime as dt
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.errors import InputError
from pipelines.features.nodes import build
from pipelines.features.parameters import Parameters
from pipelines.features.point_in_time import compute, point
from tests.pipelines import orders
from tests.pipelines.orders import SCHEMA, at, order

FEW = settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LEAD = dt.timedelta(minutes=30)  # as in the schema


@pytest.fixture(scope="module")
def backend() -> ibis.BaseBackend:
    return ibis.duckdb.connect(threads=2)


def features(tables: dict[str, ibis.Table], number: int) -> dict[str, Any]:
    """The features of the order `number`, worked out together with those of all others."""
    found = compute(tables["orders"], tables, SCHEMA).to_pyarrow().to_pylist()
    (row,) = [row for row in found if row["number"] == number]
    return {name: row[name] for name in SCHEMA.features}


def request(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("number", "placed", "shop", "customer", "amount")}


hours = st.integers(0, 72 * 4).map(lambda quarters: quarters / 4)
shops = st.sampled_from(["ada", "bob"])
customers = st.sampled_from(["x", "y", None])


@st.composite
def pasts(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Orders with distinct numbers; some are settled late, some never."""
    rows = []
    for number in range(2, draw(st.integers(3, 14))):
        placed = draw(hours)
        settled = draw(st.one_of(st.none(), st.integers(0, 48)))
        rows.append(
            order(
                number, placed, draw(shops), draw(customers),
                amount=draw(st.sampled_from([5.0, 20.0])),
                returned=None if settled is None else draw(st.booleans()),
                refund=None if settled is None else draw(st.sampled_from([0.0, 0.1, 7.25])),
                settled=None if settled is None else at(placed + settled),
            )
        )  # fmt: skip
    return rows


prices = st.lists(
    st.tuples(shops, st.integers(0, 72), st.sampled_from([None, 1.5, 2.0])), max_size=8, unique_by=lambda p: p[:2]
).map(lambda found: [{"shop": s, "since": at(h), "price": p, "label": f"{p}"} for s, h, p in found])


def another_future(past: list[dict[str, Any]], prices: list[dict[str, Any]], now: dt.datetime) -> Any:
    """Orders and prices that differ in everything that was not known at `now`, and in nothing else."""
    orders_then = []
    for row in past:
        if row["placed"] > now + LEAD:
            continue  # not known, and not asked about: it never comes
        if row["settled"] is None or row["settled"] > now:
            row = {**row, "returned": True, "refund": 99.0, "settled": max(now, row["placed"]) + dt.timedelta(hours=1)}
        orders_then.append(row)
    later = now + LEAD + dt.timedelta(minutes=1)
    new = [
        {**order(100 + n, 0, returned=True, refund=50.0), "placed": later, "settled": later + n * LEAD}
        for n in range(3)
    ]
    prices_then = [price for price in prices if price["since"] + dt.timedelta(hours=1) <= now]
    since = now - dt.timedelta(minutes=59)  # and so known a minute from now
    return [*orders_then, *new], [*prices_then, {"shop": "ada", "since": since, "price": 77.0, "label": "new"}]


@FEW
@given(past=pasts(), prices=prices, now=hours)
def test_no_row_that_was_not_known_at_prediction_time_changes_a_feature(
    backend: ibis.BaseBackend, past: list[dict[str, Any]], prices: list[dict[str, Any]], now: float
) -> None:
    before = orders.tables(backend, past, prices)
    after = orders.tables(backend, *another_future(past, prices, at(now)))

    def asked(tables: dict[str, ibis.Table]) -> list[dict[str, Any]]:
        found = compute(tables["orders"], tables, SCHEMA).to_pyarrow().to_pylist()
        return sorted((row for row in found if row["prediction_time"] <= at(now)), key=lambda row: row["number"])

    assert asked(before) == asked(after)


@FEW
@given(past=pasts(), prices=prices, placed=hours, shop=shops, customer=customers)
def test_a_single_point_has_the_features_of_its_row_in_the_table(
    backend: ibis.BaseBackend,
    past: list[dict[str, Any]],
    prices: list[dict[str, Any]],
    placed: float,
    shop: str,
    customer: str | None,
) -> None:
    asked = order(1, placed, shop, customer)
    tables = orders.tables(backend, [asked, *past], prices, [{"shop": "ada", "opened": 2001}])
    assert point(request(asked), tables, SCHEMA) == features(tables, 1)


@settings(FEW, max_examples=3)
@given(past=pasts(), part=st.sampled_from(["1d", "7d"]))
def test_the_table_is_the_same_however_it_is_cut_into_parts(
    backend: ibis.BaseBackend, past: list[dict[str, Any]], part: str
) -> None:
    tables = orders.tables(backend, [order(1, 10), *past])
    whole = build(tables, SCHEMA, Parameters(part="365d")).read_all()
    assert build(tables, SCHEMA, Parameters(part=part)).read_all().equals(whole)


def test_a_history_counts_what_became_known_inside_its_window(backend: ibis.BaseBackend) -> None:
    now = 50.0  # of the prediction; the order is placed half an hour later
    past = [
        order(2, 1, returned=True, settled=at(now)),  # known in the very moment: it counts
        order(3, 1, returned=False, settled=at(now - 5.9)),
        order(4, 1, returned=True, settled=at(now - 6)),  # a window long ago: outside of it
        order(5, 1, returned=True, settled=at(now + 0.1)),  # not known yet
        order(6, 1, "bob", returned=True, settled=at(now - 1)),  # another shop
    ]
    found = features(orders.tables(backend, [order(1, now + 0.5), *past]), 1)
    assert found["returns_6h"] == 0.5
    assert found["returns_1d"] == pytest.approx(2 / 3)
    assert found["orders_6h"] == 0


def test_what_never_happened_is_never_known(backend: ibis.BaseBackend) -> None:
    open_order = order(2, 1, settled=None, returned=True, refund=9.0)  # a return without a date cannot be counted
    found = features(orders.tables(backend, [order(1, 48), open_order]), 1)
    assert found["returns_1d"] is None
    assert found["last_refund"] is None


def test_the_latest_known_row_is_joined_and_an_old_one_is_not(backend: ibis.BaseBackend) -> None:
    prices = [
        {"shop": "ada", "since": at(8), "price": 1.0, "label": "old"},
        {"shop": "ada", "since": at(9), "price": 2.0, "label": "last"},
        {"shop": "ada", "since": at(10), "price": 3.0, "label": "too new"},  # known at 11, asked for at 10
    ]
    assert features(orders.tables(backend, [order(1, 10.5)], prices), 1)["price_label"] == "last"
    assert features(orders.tables(backend, [order(1, 35)], prices), 1)["price_label"] == "too new"
    assert features(orders.tables(backend, [order(1, 36)], prices), 1)["price_label"] is None  # older than a day


def test_a_missing_group_has_no_past(backend: ibis.BaseBackend) -> None:
    past = [order(n, 1, customer=None, settled=at(20), refund=3.0) for n in range(2, 5)]
    found = features(orders.tables(backend, [order(1, 21, customer=None), *past]), 1)
    assert found["refunds_6h"] is None
    assert found["last_refund"] is None


def test_sums_are_exact(backend: ibis.BaseBackend) -> None:
    past = [order(n, 1, settled=at(20), refund=0.1) for n in range(2, 12)]
    assert features(orders.tables(backend, [order(1, 21), *past]), 1)["refunds_6h"] == 1.0


def test_a_request_without_a_column_it_needs_is_refused(backend: ibis.BaseBackend) -> None:
    tables = orders.tables(backend, [order(1, 10)])
    with pytest.raises(InputError, match="request: amount: is missing; send it"):
        point({**request(order(1, 10)), "amount": None}, tables, SCHEMA)


def test_the_feature_table_holds_labelled_rows_in_the_order_of_prediction_time(backend: ibis.BaseBackend) -> None:
    rows = [order(3, 30), order(1, 60), order(2, 30), order(4, 5, settled=None, returned=None)]
    table = build(orders.tables(backend, rows), SCHEMA, Parameters(part="1d")).read_all()
    assert table["number"].to_pylist() == [2, 3, 1]
    head = ["number", "prediction_time", "label_known_at", "label", "block", "segment_shop"]
    assert table.column_names == [*head, *SCHEMA.features]
    assert table.schema.field("label").type == pa.int64()
    assert table["block"].to_pylist()[0] == dt.date(2024, 3, 2)


def test_a_table_without_a_label_is_refused(backend: ibis.BaseBackend) -> None:
    tables = orders.tables(backend, [order(1, 10, settled=None, returned=None)])
    with pytest.raises(InputError, match=r"prediction\.label\.expression: no row has a label"):
        build(tables, SCHEMA, Parameters(part="1d"))


def test_a_feature_that_may_not_be_missing_and_is_stops_the_run(backend: ibis.BaseBackend, tmp_path: Any) -> None:
    changed = orders.document()
    changed["features"]["shop_age"]["nullable"] = False
    tables = orders.tables(backend, [order(1, 10)])
    with pytest.raises(InputError, match=r"features\.shop_age: is missing in 1 of 1 rows.*nullable"):
        build(tables, orders.schema(tmp_path, changed), Parameters(part="1d")).read_all()
