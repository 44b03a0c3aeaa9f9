"""Small Kedro pipelines, written as what each node reads and makes."""

from kedro.io.catalog_config_resolver import CatalogConfigResolver
from kedro.pipeline import Pipeline, node


def nothing(*_):
    return None


def pipeline(*nodes):
    """`pipeline("a b > c")`: one node that reads a and b and makes c."""
    made = []
    for number, text in enumerate(nodes):
        reads, makes = (side.split() for side in text.split(">"))
        made.append(node(nothing, reads or None, makes or None, name=f"node-{number}"))
    return Pipeline(made)


def catalog(**entries):
    return CatalogConfigResolver({name: dict(entry) for name, entry in entries.items()})


CHAIN = {
    "training": pipeline("table > model", "model table > metrics"),
    "ingestion": pipeline("source > raw", "raw > table"),
    "report": pipeline("table metrics > page"),
}
