"""Batch scores: the server's numbers, beside the key, with the model that made them, in little memory."""

import datetime as dt
import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import ibis
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.bundle import Bundle
from contracts.errors import InputError
from pipelines.datasets import ParquetTable
from pipelines.scoring import nodes, scores
from pipelines.scoring.parameters import Parameters
from tests import bundles, servers
from tests.validation import station

KEEP = ["id", "prediction_time"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.write(tmp_path_factory.mktemp("store"), version="7")


@pytest.fixture(scope="module")
def rows(model: Bundle) -> pa.Table:
    return station.rows(model, (0, 30))


def stream(rows: pa.Table, size: int = 256) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches(max_chunksize=size))


def window(since: str, until: str) -> Parameters:
    return msgspec.convert({"since": since, "until": until, "batch_rows": 1000}, Parameters)


def served(server: servers.Running, rows: pa.Table) -> list[float]:
    """The same rows through the real server, by its protocol."""
    datatypes = {"string": "BYTES", "float32": "FP32", "int64": "INT64", "bool": "BOOL"}
    inputs = [
        {
            "name": column.name,
            "datatype": datatypes[column.dtype],
            "shape": [rows.num_rows],
            "data": rows.column(column.name).to_pylist(),
        }
        for column in bundles.INPUTS
    ]
    request = urllib.request.Request(
        f"{server.url}/v2/models/{bundles.NAME}/infer",
        json.dumps({"inputs": inputs}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["outputs"][0]["data"]


def test_the_scores_are_the_servers_numbers(model: Bundle, rows: pa.Table) -> None:
    some = rows.slice(0, 500)
    found = scores.score(stream(some), model, KEEP).read_all()
    with servers.running(model.path) as server:
        together = served(server, some)
        alone = [served(server, some.slice(place, 1))[0] for place in range(20)]
    assert np.abs(found.column("probability").to_numpy() - np.array(together)).max() <= 1e-6
    assert np.abs(found.column("probability").to_numpy()[:20] - np.array(alone)).max() <= 1e-6


def test_every_row_has_its_key_and_says_which_model_it_is_from(model: Bundle, rows: pa.Table) -> None:
    found = scores.score(stream(rows), model, KEEP).read_all()
    assert found.column_names == ["id", "prediction_time", "probability", "model_version", "bundle_digest"]
    assert found.column("id").equals(rows.column("id"))
    assert set(found.column("model_version").to_pylist()) == {"7"}
    assert set(found.column("bundle_digest").to_pylist()) == {model.digest}


def test_the_size_of_batches_does_not_change_a_digit(model: Bundle, rows: pa.Table) -> None:
    one, other = (scores.score(stream(rows, size), model, KEEP).read_all() for size in (7, 5000))
    assert one.column("probability").combine_chunks().equals(other.column("probability").combine_chunks())


def test_several_classes_have_a_column_each(rows: pa.Table, tmp_path: Path) -> None:
    found = scores.score(stream(rows), bundles.write(tmp_path, "multiclass"), KEEP).read_all()
    columns = [found.column(f"probabilities_{name}").to_numpy() for name in ("none", "some", "much")]
    assert np.abs(sum(columns) - 1).max() < 1e-5


def test_a_number_is_scored_under_its_own_name(rows: pa.Table, tmp_path: Path) -> None:
    assert "value" in scores.score(stream(rows), bundles.write(tmp_path, "regression"), KEEP).schema.names


def test_no_rows_give_an_empty_table_with_its_columns(model: Bundle, rows: pa.Table) -> None:
    found = scores.score(stream(rows.slice(0, 0)), model, KEEP).read_all()
    assert found.num_rows == 0
    assert "probability" in found.column_names


def test_a_missing_column_is_named(model: Bundle, rows: pa.Table) -> None:
    with pytest.raises(InputError, match="hour"):
        scores.score(stream(rows.drop_columns(["hour"])), model, KEEP)


def node(rows: ibis.Table, model: Bundle, given: Parameters) -> pa.RecordBatchReader:
    training = SimpleNamespace(train_until=dt.date(2025, 1, 11), test_until=dt.date(2025, 1, 21))
    return nodes.score(rows, model, station.SCHEMA, given, training)


def test_the_test_window_is_scored_unless_days_are_named(model: Bundle, rows: pa.Table) -> None:
    table = ibis.memtable(rows)
    default = node(table, model, msgspec.convert({"batch_rows": 1000}, Parameters)).read_all()
    named = node(table, model, window("2025-01-11", "2025-01-21")).read_all()
    assert default.equals(named)
    days = {time.date().isoformat() for time in default.column("prediction_time").to_pylist()}
    assert min(days) == "2025-01-11"
    assert max(days) == "2025-01-20"
    assert default.num_rows == pytest.approx(1000, abs=20)


def test_days_in_the_wrong_order_are_refused(model: Bundle, rows: pa.Table) -> None:
    with pytest.raises(InputError, match=r"scoring\.until"):
        node(ibis.memtable(rows), model, window("2025-01-21", "2025-01-11"))


def test_a_row_that_the_model_cannot_take_leaves_no_file(model: Bundle, rows: pa.Table, tmp_path: Path) -> None:
    broken = station.replace(rows, "hour", pa.array([*rows.column("hour").to_pylist()[:-1], None], pa.int64()))
    target = ParquetTable(
        filepath=str(tmp_path / "scores.parquet"), connection={"backend": "duckdb", "database": ":memory:"}
    )
    with pytest.raises(Exception, match="hour"):
        target.save(scores.score(stream(broken), model, KEEP))
    assert list(tmp_path.iterdir()) == []
    target.save(scores.score(stream(rows), model, KEEP))
    assert pq.read_table(tmp_path / "scores.parquet").num_rows == rows.num_rows


MEASURED = """
import sys
from pathlib import Path
import ibis, pyarrow.parquet as pq
from contracts import bundle
from pipelines.scoring import scores

rows, model, target = map(Path, sys.argv[1:])
table = ibis.duckdb.connect(memory_limit="512MB", threads=2).read_parquet(str(rows))
found = scores.score(table.to_pyarrow_batches(chunk_size=65_536), bundle.load(model), ["id", "prediction_time"])
with pq.ParquetWriter(target, found.schema) as writer:
    for batch in found:
        writer.write_batch(batch)
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), pq.read_metadata(target).num_rows)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_a_million_rows_take_hardly_more_memory_than_a_hundred_thousand(
    model: Bundle, root: Path, tmp_path: Path
) -> None:
    block = station.rows(model, (0, 20), per_day=1000)
    peaks = {}
    for count in (100_000, 1_000_000):
        with pq.ParquetWriter(tmp_path / "rows.parquet", block.schema) as writer:
            for _ in range(count // block.num_rows):
                writer.write_table(block)
        command = [sys.executable, "-c", MEASURED, tmp_path / "rows.parquet", model.path, tmp_path / "scores.parquet"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        peaks[count], scored = map(int, done.stdout.split())
        assert scored == count
    assert peaks[1_000_000] < 1.25 * peaks[100_000], peaks  # KiB
