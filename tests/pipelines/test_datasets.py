import zipfile
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError
from msgspec import Struct

from contracts.errors import InputError
from contracts.report import Check, Report
from pipelines.datasets import Bundles, Document, ParquetTable, Reports, SourceTables, StructFile, Tables
from tests import bundles

CONNECTION = {"backend": "duckdb", "database": ":memory:", "threads": 2}


class Kept(Struct, frozen=True):
    name: str
    numbers: tuple[int, ...]


def refusal(error: pytest.ExceptionInfo[DatasetError]) -> str:
    """The line of the InputError that Kedro wrapped."""
    assert isinstance(error.value.__cause__, InputError)
    return str(error.value.__cause__)


def sources(folder: Path, **tables: Any) -> SourceTables:
    return SourceTables(tables=tables, unpacked={"path": str(folder / "unpacked")}, connection=CONNECTION)


def test_sources_are_read_from_csv_zipped_csv_and_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,NA\n2,\n", encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "b.csv.zip", "w") as archive:
        archive.writestr("b.csv", "x\n7\n")
    pq.write_table(pa.table({"x": [1.5]}), tmp_path / "c-1.parquet")
    pq.write_table(pa.table({"x": [2.5]}), tmp_path / "c-2.parquet")
    dataset = sources(
        tmp_path,
        a={"path": str(tmp_path / "a.csv"), "format": "csv", "null": "NA"},
        b={"path": str(tmp_path / "b.csv.zip"), "format": "csv.zip"},
        c={"path": str(tmp_path / "c-*.parquet"), "format": "parquet"},
    )
    for _ in range(2):  # the second time, the zip is unpacked already
        found = {name: table.to_pyarrow().to_pydict() for name, table in dataset.load().items()}
        assert found == {"a": {"x": ["1", "2"], "y": [None, None]}, "b": {"x": ["7"]}, "c": {"x": [1.5, 2.5]}}
    assert len(list((tmp_path / "unpacked").iterdir())) == 1


def test_a_source_that_is_missing_or_unreadable_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x00\x01 no table at all")
    for format_, line in [
        ("csv.zip", "a: is not a zip file"),
        ("parquet", "a: Invalid Input Error: .*mend the file"),
    ]:
        with pytest.raises(DatasetError) as refused:
            sources(tmp_path, a={"path": str(broken), "format": format_}).load()
        assert refusal(refused).startswith(f"{broken}: {line.split('.*')[0]}")
    with pytest.raises(DatasetError) as refused:
        sources(tmp_path, a={"path": str(tmp_path / "none.csv"), "format": "csv"}).load()
    assert "none.csv: a: there is no such file; correct conf/base/catalog.yml: sources.tables.a.path" in refusal(
        refused
    )


def test_a_source_of_an_unknown_kind_names_its_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"conf/base/catalog.yml: sources.tables.a.format: Invalid enum value 'xls'"):
        sources(tmp_path, a={"path": "a.xls", "format": "xls"})


def test_tables_come_back_by_name_and_old_ones_go(tmp_path: Path) -> None:
    dataset = Tables(path=str(tmp_path / "tables"), connection=CONNECTION)
    with pytest.raises(DatasetError) as refused:
        dataset.load()
    assert "holds no table yet; make them: `kedro run --pipelines ingestion`" in refusal(refused)
    backend = ibis.duckdb.connect()
    one = backend.sql("SELECT 1 AS x")
    for names in (["a", "b"], ["b"]):
        Tables(path=str(tmp_path / "tables"), connection=CONNECTION).save(
            dict.fromkeys(names, dataset.connection.sql("SELECT 1 AS x"))
        )
        assert {name: t.to_pyarrow().to_pydict() for name, t in dataset.load().items()} == {
            n: {"x": [1]} for n in names
        }
    assert one.to_pyarrow().num_rows == 1


def test_a_table_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "table.parquet"
    dataset = ParquetTable(filepath=str(file), connection=CONNECTION)
    dataset.save(dataset.connection.sql("SELECT 1 AS x"))
    before = file.read_bytes()

    def interrupted() -> Any:
        yield pa.record_batch({"x": [2]})
        raise KeyboardInterrupt

    schema = pa.schema([("x", pa.int64())])
    with pytest.raises(KeyboardInterrupt):
        dataset.save(pa.RecordBatchReader.from_batches(schema, interrupted()))
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
    dataset.save(pa.RecordBatchReader.from_batches(schema, iter([pa.record_batch({"x": [2]})])))
    assert dataset.load().to_pyarrow().to_pydict() == {"x": [2]}


def test_a_failure_inside_of_a_stream_keeps_its_one_line(tmp_path: Path) -> None:
    def failing() -> Any:
        yield pa.record_batch({"x": [2]})
        raise InputError("schema.yml: features.x: is missing; correct it")

    dataset = ParquetTable(filepath=str(tmp_path / "table.parquet"), connection=CONNECTION)
    with pytest.raises(DatasetError) as refused:
        dataset.save(pa.RecordBatchReader.from_batches(pa.schema([("x", pa.int64())]), failing()))
    assert refusal(refused) == "schema.yml: features.x: is missing; correct it"


def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    dataset = ParquetTable(filepath=str(tmp_path / "file" / "table.parquet"), connection=CONNECTION)
    with pytest.raises(DatasetError) as refused:
        dataset.save(dataset.connection.sql("SELECT 1 AS x"))
    assert "cannot be written: " in refusal(refused)


def test_datasets_with_the_same_settings_share_one_connection(tmp_path: Path) -> None:
    one = ParquetTable(filepath=str(tmp_path / "a.parquet"), connection=CONNECTION)
    other = Tables(path=str(tmp_path / "b"), connection=dict(CONNECTION))
    assert one.connection is other.connection


def test_a_struct_is_kept_as_json(tmp_path: Path) -> None:
    dataset = StructFile(filepath=str(tmp_path / "kept.json"), struct=f"{__name__}.Kept")
    with pytest.raises(DatasetError) as refused:
        dataset.load()
    assert "run the pipeline that makes it first" in refusal(refused)
    dataset.save(Kept("a", (1, 2)))
    assert dataset.load() == Kept("a", (1, 2))


def test_a_document_is_typed_by_its_reader(root: Path) -> None:
    path = root / "conf/base/budgets.yml"
    assert Document(filepath=str(path), reader="contracts.budgets.load").load().data.quarantine_share > 0


def test_the_store_gives_the_latest_bundle_and_its_report(tmp_path: Path) -> None:
    store = Bundles(path=str(tmp_path / "bundles"))
    reports = Reports(path=str(tmp_path / "reports"), stem="gates", bundles={"path": str(tmp_path / "bundles")})
    assert not store.exists()
    assert not reports.exists()
    first, second = (bundles.write(tmp_path / "bundles", shift=shift) for shift in (0.0, 1.0))
    store.save(first)
    reports.save(_report(first.digest))
    store.save(second)
    assert store.load().digest == second.digest
    assert not reports.exists()
    reports.save(_report(second.digest))
    assert reports.load().subject == second.digest
    store.save(first)
    assert reports.load().subject == first.digest


def _report(subject: str) -> Report:
    return Report(title="Gates", subject=subject, checks=(Check(gate="a", name="b", status="pass"),))
