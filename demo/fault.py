"""A broken delivery: a copy of a source table in which some columns' values stand on the wrong rows."""

from pathlib import Path

import yaml

from demo.plan import Fault
from demo.workspace import Workspace

# Runs in the clone with the pipelines' own reader, so that every kind of source file works. A rotation by a third of
# the table keeps every value and every count, and ties none of them to its row.
ROTATE = """
import sys
import pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

name, target, columns = sys.argv[1], sys.argv[2], sys.argv[3:]
bootstrap_project(Path.cwd())
with KedroSession.create() as session:
    table = session.load_context().catalog.load("sources")[name].to_pyarrow()
for column in columns:
    values = table[column].combine_chunks()
    present = values.filter(pc.is_valid(values))
    third = len(present) // 3
    moved = pa.concat_arrays([present.slice(third), present.slice(0, third)])
    places = pc.subtract(pc.cumulative_sum(pc.cast(pc.is_valid(values), pa.int64())), 1)
    shuffled = pc.if_else(pc.is_valid(values), moved.take(pc.max_element_wise(places, 0)), pa.scalar(None, values.type))
    table = table.set_column(table.schema.get_field_index(column), column, shuffled)
pq.write_table(table, target)
"""


def break_table(workspace: Workspace, fault: Fault) -> Path:
    """Write the broken copy and a `conf/local/catalog.yml` that names it; gives that file, to be removed afterwards."""
    target = workspace.root / "data" / "broken" / f"{fault.table}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    workspace.run(str(workspace.python), "-c", ROTATE, fault.table, str(target), *fault.columns, module=False)
    catalog = yaml.safe_load((workspace.root / "conf/base/catalog.yml").read_text(encoding="utf-8"))
    sources = catalog["sources"]
    sources["tables"][fault.table] = {"path": str(target), "format": "parquet"}
    override = workspace.root / "conf/local/catalog.yml"
    override.write_text(yaml.safe_dump({"sources": sources}), encoding="utf-8")
    return override
