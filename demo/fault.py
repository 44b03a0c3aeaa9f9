"""A broken delivery: a copy of a source table in which some columns' values stand on the wrong rows.

`python -m demo.fault TABLE TARGET COLUMN …` writes the copy, reading the source through the catalog, so that every kind
of source file works.
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from demo.plan import Fault
from demo.workspace import Workspace


def break_table(workspace: Workspace, fault: Fault) -> Path:
    """Write the broken copy and a `conf/local/catalog.yml` that names it; gives that file, to be removed afterwards."""
    target = workspace.root / "data" / "broken" / f"{fault.table}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    workspace.run("demo.fault", fault.table, str(target), *fault.columns)
    catalog = yaml.safe_load((workspace.root / "conf/base/catalog.yml").read_text(encoding="utf-8"))
    sources = catalog["sources"]
    sources["tables"][fault.table] = {"path": str(target), "format": "parquet"}
    override = workspace.root / "conf/local/catalog.yml"
    override.write_text(yaml.safe_dump({"sources": sources}), encoding="utf-8")
    return override


def rotate(values: pa.Array) -> pa.Array:
    """Move every value a third of the table on, leaving nulls where they are: all values are kept, none on its row."""
    valid = pc.is_valid(values)
    present = values.filter(valid)
    if not len(present):
        return values
    third = len(present) // 3
    moved = pa.concat_arrays([present.slice(third), present.slice(0, third)])
    place = pc.max_element_wise(pc.subtract(pc.cumulative_sum(valid.cast(pa.int64())), 1), 0)
    return pc.if_else(valid, moved.take(place), pa.scalar(None, values.type))


def main(name: str, target: str, *columns: str) -> None:
    """Run in a repository's root."""
    bootstrap_project(Path.cwd())
    with KedroSession.create() as session:
        assert isinstance(session, KedroSession)
        table = session.load_context().catalog.load("sources")[name].to_pyarrow()
    for column in columns:
        place = table.schema.get_field_index(column)
        table = table.set_column(place, column, rotate(table[column].combine_chunks()))
    pq.write_table(table, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
