from pathlib import Path

import duckdb
import pytest

from bench import pipeline as bench
from bench.pipeline import Measured


@pytest.fixture
def table(tmp_path: Path) -> Path:
    duckdb.sql(f"COPY (SELECT 7 AS k, TIMESTAMP '2024-03-01 10:00:00' AS t) TO '{tmp_path}/a.parquet'")
    return tmp_path / "a.parquet"


def test_a_table_with_times_is_repeated_52_weeks_later(table: Path) -> None:
    assert bench.repeat(table, table.with_name("b.parquet"), 3) == 3
    rows = duckdb.sql(f"SELECT k, CAST(t AS VARCHAR) FROM '{table.with_name('b.parquet')}' ORDER BY t").fetchall()
    assert rows == [(7, "2024-03-01 10:00:00"), (7, "2025-02-28 10:00:00"), (7, "2026-02-27 10:00:00")]


def test_a_register_is_written_once(tmp_path: Path) -> None:
    duckdb.sql(f"COPY (SELECT 7 AS k) TO '{tmp_path}/a.parquet'")
    assert bench.repeat(tmp_path / "a.parquet", tmp_path / "b.parquet", 10) == 1


def test_the_verdict_is_about_memory_and_time() -> None:
    first = Measured(1, 10, 10.0, 100.0, {})
    assert bench.holds([first, Measured(10, 100, 99.0, 119.0, {})])
    assert not bench.holds([first, Measured(10, 100, 99.0, 121.0, {})])
    assert not bench.holds([first, Measured(10, 100, 101.0, 119.0, {})])


def test_the_page_gets_the_figures_between_its_marks(root: Path) -> None:
    found = [Measured(1, 10, 10.0, 100.0, {"ingestion": 4.0}), Measured(10, 100, 80.0, 110.0, {"ingestion": 30.0})]
    page = bench.section((root / "docs/benchmarks.md").read_text(), found, {"when": "today", "python": "3", "cores": 2})
    assert "| 10 × | 100 | 80 s | 110 MB | 30 s |" in page
    assert "time × 8.00, peak memory × 1.10" in page
    assert bench.section(page, found, {"when": "today", "python": "3", "cores": 2}) == page


def test_node_lines_are_what_the_pipelines_say() -> None:
    said = "09:42:08 ingestion.keep                  1.6 s      \n         features.build                 40.9 s"
    assert bench.NODE.findall(said) == [("ingestion", "1.6"), ("features", "40.9")]
