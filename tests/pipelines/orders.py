"""A small made-up subject for the data pipelines: will an order be returned? Orders, prices by shop, and a shop register."""

import copy
import datetime as dt
from pathlib import Path
from typing import Any

import ibis
import msgspec
import pyarrow as pa
import yaml
from ibis.util import gen_name

from pipelines.schema import Schema, load

START = dt.datetime(2024, 3, 1)  # noqa: DTZ001 (UTC without a zone, as in the tables)

DOCUMENT: dict[str, Any] = yaml.safe_load("""
format: 1
task: binary
target: returned
tables:
  orders:
    columns:
      number: {type: int64, minimum: 1}
      placed: {type: timestamp}
      shop: {type: string, pattern: "[a-z]+"}
      customer: {type: string, nullable: true}
      amount: {type: float64, minimum: 0, maximum: 1000}
      returned: {type: bool, nullable: true, known_at: settled}
      refund: {type: float64, nullable: true, known_at: settled}
      settled: {type: timestamp, nullable: true, known_at: settled}
    key: [number]
    derive:
      hour: hour(placed)
    known_at: placed
  prices:
    columns:
      shop: {type: string}
      since: {type: timestamp}
      price: {type: float64, nullable: true}
      label: {type: string, nullable: true}
    key: [shop, since]
    known_at: since + INTERVAL 1 HOUR
  shops:
    columns:
      shop: {type: string}
      opened: {type: int64, nullable: true}
    key: [shop]
prediction:
  table: orders
  time: placed
  lead: 30m
  label:
    expression: CAST(returned AS BIGINT)
    known_at: settled
    policy: An order that was never settled has no label.
    missing: {open: settled IS NULL}
joins:
  price: {table: prices, match: {shop: shop}, max_age: 1d}
  shop: {table: shops, match: {shop: shop}}
  last: {table: orders, match: {customer: customer}, knows: [refund], max_age: 2d}
features:
  shop: {dtype: string, source: request, expression: shop, description: Shop}
  amount: {dtype: float32, source: request, expression: amount, description: Amount}
  early: {dtype: bool, source: request, expression: hour < 12, description: Placed before noon}
  price: {dtype: float32, source: lookup, nullable: true, expression: price.price, description: Price}
  price_label: {dtype: string, source: lookup, nullable: true, expression: price.label, description: Its label}
  shop_age: {dtype: float32, source: lookup, nullable: true, expression: year(placed) - shop.opened, description: Years}
  last_refund: {dtype: float32, source: lookup, nullable: true, expression: last.refund, description: Last refund}
  returns_1d:
    dtype: float32
    source: lookup
    nullable: true
    description: Share of returns in the shop
    history: {table: orders, statistic: mean, of: CAST(returned AS INTEGER), by: [shop], window: 1d}
  refunds_6h:
    dtype: float32
    source: lookup
    nullable: true
    description: Refunds of the customer in this shop
    history: {table: orders, statistic: sum, of: refund, where: amount > 10, by: [shop, customer], window: 6h}
  returns_6h:
    dtype: float32
    source: lookup
    nullable: true
    description: Share of returns in the shop
    history: {table: orders, statistic: mean, of: CAST(returned AS INTEGER), by: [shop], window: 6h}
  orders_6h:
    dtype: float32
    source: lookup
    description: Orders everywhere
    history: {table: orders, statistic: count, window: 6h}
segments:
  shop: shop
""")


def document() -> dict[str, Any]:
    """A copy to change."""
    return copy.deepcopy(DOCUMENT)


def schema(folder: Path, changed: dict[str, Any] | None = None) -> Schema:
    file = folder / "schema.yml"
    file.write_text(yaml.safe_dump(changed or DOCUMENT, sort_keys=False), encoding="utf-8")
    return load(file)


SCHEMA = msgspec.convert(DOCUMENT, Schema)


def at(hours: float) -> dt.datetime:
    return START + dt.timedelta(hours=hours)


def order(number: int, hours: float, shop: str = "ada", customer: str | None = "x", **more: Any) -> dict[str, Any]:
    """An order placed `hours` after the start; settled a day later unless `settled` says otherwise."""
    row = {"number": number, "placed": at(hours), "shop": shop, "customer": customer, "amount": 20.0}
    return {**row, "returned": False, "refund": 0.0, "settled": at(hours + 24), "hour": at(hours).hour, **more}


ORDERS = pa.schema(
    [
        ("number", pa.int64()),
        ("placed", pa.timestamp("us")),
        ("shop", pa.string()),
        ("customer", pa.string()),
        ("amount", pa.float64()),
        ("returned", pa.bool_()),
        ("refund", pa.float64()),
        ("settled", pa.timestamp("us")),
        ("hour", pa.int64()),
    ]
)
PRICES = pa.schema(
    [("shop", pa.string()), ("since", pa.timestamp("us")), ("price", pa.float64()), ("label", pa.string())]
)
SHOPS = pa.schema([("shop", pa.string()), ("opened", pa.int64())])


def tables(
    backend: ibis.BaseBackend,
    orders: list[dict[str, Any]],
    prices: list[dict[str, Any]] = (),
    shops: list[dict[str, Any]] = (),
) -> dict[str, ibis.Table]:
    """What ingestion would have written."""
    found = {"orders": (orders, ORDERS), "prices": (prices, PRICES), "shops": (shops, SHOPS)}
    return {name: table(backend, pa.Table.from_pylist(list(rows), kind)) for name, (rows, kind) in found.items()}


def table(backend: ibis.BaseBackend, rows: pa.Table) -> ibis.Table:
    """Rows under a name of their own on the connection."""
    name = gen_name("rows")
    backend.con.register(name, rows)
    return backend.table(name)
