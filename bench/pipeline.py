"""Time and peak memory of the pipeline at 1, 3 and 10 times the data: `make bench-pipeline`.

Works in a scratch copy of this repository. The tables are those that ingestion keeps; tables with times are repeated
with every time shifted by 52 weeks, so that keys stay unique and weekdays stay what they are. Each size is one `kedro
run` in a process of its own, whose peak memory the kernel reports. Writes data/bench/pipeline.json and the section of
docs/benchmarks.md.
"""

import argparse
import datetime as dt
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import duckdb
import yaml
from msgspec import Struct, structs

from contracts import atomic
from contracts.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
SHIFT = dt.timedelta(weeks=52)
NODE = re.compile(r"\b([a-z_]+)\.\S+\s+(\d+\.\d) s\s*$", re.MULTILINE)  # as pipelines/hooks.py says it
SECTION = re.compile(r"(<!-- pipeline: begin -->\n).*(<!-- pipeline: end -->)", re.DOTALL)


class Measured(Struct, frozen=True):
    """One run: rows in all source tables, seconds, peak memory of the run's largest process, seconds per pipeline."""

    size: int
    rows: int
    seconds: float
    peak_megabytes: float
    pipelines: dict[str, float]


def main() -> int:
    """Measure every size and write down what was found; 0 when memory stays and time grows at most with the rows."""
    parser = argparse.ArgumentParser(prog="python -m bench.pipeline", description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1,3,10", help="how many times the data (default: %(default)s)")
    parser.add_argument("--pipelines", default="__default__", help="which pipelines (default: the whole one)")
    parser.add_argument("--sample", type=int, default=0, help="only so many rows of each table (default: all)")
    parser.add_argument("--scratch", type=Path, help="folder to work in, kept afterwards (default: a temporary one)")
    parser.add_argument("--no-document", action="store_true", help="leave docs/benchmarks.md as it is")
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        project = copy(arguments.scratch or Path(temporary) / "project")
        kedro(project, ["run", "--pipelines", "ingestion"])
        kept = project / "kept"
        shutil.move(project / "data" / "ingested", kept)
        found = []
        for size in sizes:
            found.append(measure(project, kept, size, arguments.pipelines, arguments.sample))
            print(line(found[-1]), flush=True)
    write(found, arguments.pipelines, document=not arguments.no_document)
    return 0 if holds(found) else 1


def copy(project: Path) -> Path:
    """A copy of what git tracks here or would, so that no run touches this folder's data."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, project / name)
    return project


def measure(project: Path, kept: Path, size: int, pipelines: str, sample: int) -> Measured:
    """Run the pipelines on `size` times the tables in `kept`, from nothing."""
    tables = project / f"times-{size}"
    rows = sum(repeat(file, tables / file.name, size, sample) for file in sorted(kept.glob("*.parquet")))
    shutil.rmtree(project / "data", ignore_errors=True)
    sources = {file.stem: {"path": str(file), "format": "parquet"} for file in sorted(tables.glob("*.parquet"))}
    point_to(project, sources)
    started = time.monotonic()
    output, peak = kedro(project, ["run", "--pipelines", pipelines, *windows(project, size)])
    seconds = time.monotonic() - started
    shutil.rmtree(tables)
    spent: dict[str, float] = {}
    for name, took in NODE.findall(output):
        spent[name] = round(spent.get(name, 0.0) + float(took), 1)
    return Measured(size, rows, round(seconds, 1), round(peak, 1), spent)


def repeat(source: Path, target: Path, size: int, sample: int = 0) -> int:
    """Write the table `size` times, each copy with its times 52 weeks later; gives the rows written.

    A table without times is written once: it is a register, and its keys would not be unique.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(config={"memory_limit": "1GB", "threads": 2}) as connection:
        table = connection.sql(f"SELECT * FROM read_parquet('{source}')" + (f" LIMIT {sample}" if sample else ""))
        kinds = zip(table.columns, map(str, table.types), strict=True)
        times = [name for name, kind in kinds if kind.startswith("TIMESTAMP")]
        shifted = ", ".join(f'"{name}" + to_days({SHIFT.days} * copy) AS "{name}"' for name in times)
        table.create_view("once")
        copies = f"SELECT * REPLACE ({shifted}) FROM once, range({size}) AS copies(copy) ORDER BY copy"
        query = f"SELECT * EXCLUDE (copy) FROM ({copies})" if times else "FROM once"
        connection.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
        return connection.sql(f"SELECT count(*) FROM read_parquet('{target}')").fetchone()[0]


def point_to(project: Path, sources: dict[str, dict[str, str]]) -> None:
    """Let the scratch project read these files: `conf/local` goes before `conf/base`, dataset by dataset."""
    catalog = yaml.safe_load((project / "conf/base/catalog.yml").read_text(encoding="utf-8"))
    changed = {**catalog["sources"], "tables": sources}
    atomic.write_text(project / "conf/local/catalog.yml", yaml.safe_dump({"sources": changed}, sort_keys=False))


def windows(project: Path, size: int) -> list[str]:
    """The training and test windows moved to the end of the longer data."""
    file = project / "conf/base/parameters_training.yml"
    training = yaml.safe_load(file.read_text(encoding="utf-8"))["training"] if file.exists() else {}
    moved = {
        name: dt.date.fromisoformat(str(training[name])) + (size - 1) * SHIFT
        for name in ("train_until", "test_until")
        if name in training
    }
    return ["--params", ",".join(f"training.{name}={day}" for name, day in moved.items())] if moved else []


def kedro(project: Path, arguments: Iterable[str]) -> tuple[str, float]:
    """Run Kedro in the scratch project: what it said, and the peak memory of its largest process in megabytes."""
    log = project / "kedro.log"
    validate = ROOT / os.environ.get("VENV_VALIDATE", ".venv-validate")
    environment = {**os.environ, "COLUMNS": "200", "VENV_VALIDATE": str(validate)}
    command = [sys.executable, "-m", "kedro", *arguments]
    with log.open("wb") as file:
        child = subprocess.Popen(command, cwd=project, env=environment, stdout=file, stderr=file)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    said = log.read_text(encoding="utf-8", errors="replace")
    if child.returncode:
        last = (said.strip().splitlines() or ["it said nothing"])[-1]
        raise InputError(f"kedro {command[3]}: exit code {child.returncode}: {last}; see {log} (--scratch keeps it)")
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in kilobytes here
    return said, usage.ru_maxrss / unit


def holds(found: list[Measured]) -> bool:
    """Peak memory at the largest size at most 1.2 times that at the smallest, time at most linear."""
    first, last = found[0], found[-1]
    return last.peak_megabytes <= 1.2 * first.peak_megabytes and last.seconds <= first.seconds * last.size / first.size


def line(measured: Measured) -> str:
    """One size, for the terminal."""
    parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in measured.pipelines.items())
    return f"{measured.size:3d} × data: {measured.seconds:.0f} s, peak {measured.peak_megabytes:.0f} MB ({parts})"


def write(found: list[Measured], pipelines: str, document: bool) -> None:
    """Keep the figures as JSON, and as a table in docs/benchmarks.md."""
    figures = {"pipelines": pipelines, "cores": os.cpu_count(), "python": platform.python_version()}
    figures |= {"when": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"), "runs": [structs.asdict(run) for run in found]}
    atomic.write_text(ROOT / "data/bench/pipeline.json", json.dumps(figures, indent=1) + "\n")
    page = ROOT / "docs/benchmarks.md"
    if document and page.exists():
        atomic.write_text(page, section(page.read_text(encoding="utf-8"), found, figures))


def section(text: str, found: list[Measured], figures: dict[str, object]) -> str:
    """The page with this section anew."""
    names = list(dict.fromkeys(name for run in found for name in run.pipelines))
    head = ["data", "rows", "wall time", "peak memory", *names]
    rows = [
        [f"{run.size} ×", f"{run.rows:,}", f"{run.seconds:.0f} s", f"{run.peak_megabytes:.0f} MB"]
        + [f"{run.pipelines.get(name, 0.0):.0f} s" for name in names]
        for run in found
    ]
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])
    first, last = found[0], found[-1]
    ratio = (
        f"From {first.size} to {last.size} times the data: time × {last.seconds / first.seconds:.2f}, "
        f"peak memory × {last.peak_megabytes / first.peak_megabytes:.2f}."
    )
    where = f"Measured {figures['when']} with Python {figures['python']} on {figures['cores']} cores."
    return SECTION.sub(lambda match: f"{match[1]}\n{table}\n\n{ratio} {where}\n\n{match[2]}", text)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"{error}")
