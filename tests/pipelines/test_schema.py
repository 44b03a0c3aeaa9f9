from pathlib import Path
from typing import Any

import pytest

from contracts.errors import InputError
from pipelines.schema import early, load, moment
from tests.pipelines import orders
from tests.pipelines.orders import SCHEMA


def change(document: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    *path, last = key.split("/")
    place = document
    for part in path:
        place = place[part]
    place[last] = value
    return document


def test_the_schema_of_this_repository_is_sound(root: Path) -> None:
    assert load(root / "conf/base/schema.yml").features


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("format", 2, "format: is 2, this version reads 1"),
        ("task", "guess", "task: Invalid enum value 'guess'"),
        (
            "tables/orders/columns/amount/typ",
            "int64",
            "tables.orders.columns.amount: .*unknown field `typ`; known here:",
        ),
        ("tables/orders/key", ["customer"], "tables.orders.key: customer may be missing"),
        ("tables/orders/derive/hour", "hour(place)", "tables.orders.derive.hour: place is not there; known: amount"),
        ("tables/orders/derive/hour", "hour(", "tables.orders.derive.hour: is not SQL"),
        ("tables/orders/known_at", "never", "tables.orders.known_at: never is not there"),
        ("prediction/table", "order", "prediction.table: order is no table; known: orders, prices, shops"),
        ("prediction/lead", "soon", r"prediction.lead: Expected `str` matching regex"),
        ("joins/shop/match", {"shop": "opened"}, "joins.shop.match: must name the whole key of shops: shop"),
        ("joins/price/max_age", None, "joins.price: prices has rows that become known one by one; .*max_age"),
        ("joins/shop/max_age", "1d", "joins.shop.max_age: needs a time: tables.shops.known_at is not set"),
        ("features/amount/expression", "amonut", "features.amount: amonut is not there"),
        ("features/amount/history", {}, "features.amount.history: .*missing required field `table`"),
        ("features/amount/expression", None, "features.amount: needs an expression or a history"),
        ("features/orders_6h/history/of", "amount", "features.orders_6h.history.of: .*count has none"),
        ("features/returns_6h/nullable", False, "features.returns_6h.nullable: must be true"),
    ],
)
def test_what_does_not_fit_is_refused_with_file_key_and_way_out(
    tmp_path: Path, key: str, value: Any, line: str
) -> None:
    with pytest.raises(InputError, match=line) as refused:
        orders.schema(tmp_path, change(orders.document(), key, value))
    assert str(refused.value).startswith(f"{tmp_path}/schema.yml: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("features/amount/expression", "amount - refund", "features.amount: reads refund, known only at settled"),
        ("features/price/expression", "last.returned", "features.price: reads last.returned: returned is known after"),
        ("segments/shop", "CASE WHEN returned THEN shop END", "segments.shop: reads returned"),
        ("prediction/time", "settled", "prediction.time: reads settled"),
        ("joins/shop/match", {"settled": "shop"}, "joins.shop.match.settled: reads settled"),
    ],
)
def test_a_value_from_the_future_is_refused_when_the_schema_is_read(
    tmp_path: Path, key: str, value: Any, line: str
) -> None:
    with pytest.raises(InputError, match=line):
        orders.schema(tmp_path, change(orders.document(), key, value))


def test_the_future_does_not_hide_behind_a_derived_column(tmp_path: Path) -> None:
    changed = change(orders.document(), "tables/orders/derive/lost", "amount - refund")
    with pytest.raises(InputError, match=r"features\.amount: reads refund"):
        orders.schema(tmp_path, change(changed, "features/amount/expression", "lost"))


def test_a_file_that_is_missing_or_no_yaml_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory; nothing runs without it"):
        load(tmp_path / "schema.yml")
    (tmp_path / "schema.yml").write_text("tables: [", encoding="utf-8")
    with pytest.raises(InputError, match="is not YAML: while parsing"):
        load(tmp_path / "schema.yml")


def test_early_columns_are_known_with_their_row() -> None:
    assert early(SCHEMA.spine) == ("number", "placed", "shop", "customer", "amount", "hour")


def test_what_is_read_together_is_known_when_all_of_it_is() -> None:
    assert moment(SCHEMA.spine, {"amount"}) == "(placed)"
    both = moment(SCHEMA.spine, {"amount", "refund"})
    assert both is not None
    assert "greatest((placed), (settled))" in both
    assert moment(SCHEMA.tables["shops"], {"opened"}) is None
