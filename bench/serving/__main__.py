"""`make bench-serving`: the server beside MLServer, KServe, MLflow, a usual FastAPI server and a fixed reply.

Every peer lies in an environment of its own, answers the same requests from the same ONNX file, and is compared with
onnxruntime before it is timed. Writes data/bench/serving.json, docs/serving-benchmark.svg and the section of
docs/benchmarks.md. Exit code 0: the targets hold, 1: one does not, 2: it could not be measured.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from msgspec import structs
from rich.console import Console

from bench.serving import (
    chart,
    contestants,
    loads,
    machine,
    medians,
    networks,
    page,
    plan,
    questions,
    targets,
    terminal,
)
from bench.serving.contestants import EVERYBODY, FLOOR, OURS
from bench.serving.environments import ROOT, Environment
from bench.serving.floor import nginx
from bench.serving.plan import Scenario
from bench.serving.questions import Model
from bench.serving.rounds import Left, Rounds, as_rows, steps
from contracts import atomic
from contracts.errors import InputError

JSON = ROOT / "data" / "bench" / "serving.json"
DOCUMENT, PICTURE = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "serving-benchmark.svg"
BUSY = 0.5  # load of the machine above which its figures say little
LATEST = ROOT / "data" / "bundles" / "latest.json"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.serving", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="interleaved rounds (default %(default)s)")
    add("--seconds", type=int, default=3, help="of one measurement (default %(default)s)")
    add("--only", type=_words, default=[], help=f"contestants, of {','.join(EVERYBODY)} (default: all)")
    add("--cells", type=_words, default=[], help="globs of scenario:cell, as tensor:* or *:c64 (default: all)")
    add("--bundle", type=Path, help="the bundle with raw columns (default: the last one trained)")
    add("--peers", type=Path, default=ROOT / ".peers", help="folder of the peers' environments (default: .peers)")
    add("--output", type=Path, default=JSON, help="where the figures go (default: data/bench/serving.json)")
    add("--no-document", action="store_true", help="leave docs/ as it is")
    options = parser.parse_args()
    if unknown := set(options.only) - set(EVERYBODY):
        raise InputError(f"--only: {min(unknown)}: is nobody; known: {', '.join(EVERYBODY)}")
    if options.rounds < 1 or options.seconds < 1:
        raise InputError("--rounds, --seconds: is less than 1; measure at least once, for a second")
    return options


def main() -> int:
    """Prepare, measure, write down, judge."""
    options, console = arguments(), terminal.console()
    bundle = options.bundle or _latest()
    scenarios, left = _here(plan.chosen(options.only, options.cells, bundle))
    if not scenarios:
        raise InputError("--only, --cells: nothing is left to measure; see --help for what there is")
    if bundle is None:
        left.append(Left("columns", OURS, "there is no bundle yet: run `make train`, or name one with --bundle"))
    loads.wrk()
    load = os.getloadavg()[0]
    if load > BUSY:
        console.print(f"[yellow]the machine is busy (load {load:.1f}): what is measured now is noise[/]")
    environments = _environments(scenarios, options.peers.resolve(), console)
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as temporary:
        folder = Path(temporary)
        models = {scenario.name: _model(scenario, folder, bundle) for scenario in scenarios}
        rounds = Rounds(folder, environments, options.seconds)
        rounds.left += left
        _measure(rounds, scenarios, models, options.rounds, console)
    table = medians.Table(rounds.found)
    facts = machine.describe(environments, load)
    verdicts = targets.verdicts(table, facts.site_packages.get(OURS))
    settings = {"rounds": options.rounds, "seconds": options.seconds}
    for scenario in scenarios:
        console.print(terminal.grid(scenario, table, f"medians of {options.rounds} round{'s'[: options.rounds - 1]}"))
    console.print(terminal.outcome(verdicts, rounds.left))
    _write(options.output, rounds, table, facts, verdicts, settings)
    console.print(f"figures: {options.output}")
    if not options.no_document:
        where = f"{facts.processor}, one core to serve, one to ask, {facts.when}"
        note = f"{where}. Bars are medians, thin lines all rounds, × is how many times MLServer's."
        atomic.write_text(PICTURE, chart.draw(table, note))
        body = page.body(table, scenarios, verdicts, rounds.left, facts, settings)
        atomic.write_text(DOCUMENT, page.section(DOCUMENT.read_text(encoding="utf-8"), body))
        console.print(f"written: {DOCUMENT}, {PICTURE}")
    return 0 if targets.hold(verdicts, whole=not (options.only or options.cells)) else 1


def _here(scenarios: list[Scenario]) -> tuple[list[Scenario], list[Left]]:
    """The scenarios with whom this repository can start, and who that leaves out."""
    left, kept = [], []
    for scenario in scenarios:
        why = {name: contestants.missing(EVERYBODY[name]) for name in scenario.contestants}
        left += [Left(scenario.name, name, reason) for name, reason in why.items() if reason]
        there = {name: cells for name, cells in scenario.contestants.items() if not why[name]}
        kept += [structs.replace(scenario, contestants=there)] if there else []
    return kept, left


def _environments(scenarios: list[Scenario], folder: Path, console: Console) -> dict[str, Environment | None]:
    found: dict[str, Environment | None] = {}
    for name in dict.fromkeys(name for scenario in scenarios for name in scenario.contestants):
        if name == FLOOR:
            nginx()
        elif EVERYBODY[name].pins and not (folder / EVERYBODY[name].pins).exists():
            console.print(f"{folder / EVERYBODY[name].pins}: installing {EVERYBODY[name].title}")
        found[name] = contestants.environment(EVERYBODY[name], folder)
    return found


def _model(scenario: Scenario, folder: Path, bundle: Path | None) -> Model:
    if not scenario.hidden:
        assert bundle is not None
        return questions.model(bundle.resolve())
    name = "tensor-32" if scenario.hidden < 1000 else "tensor-32-heavy"
    written = networks.write(folder / "bundles", name, scenario.hidden)
    return questions.model(written.path, {"x": networks.drawn(max(questions.ROWS), seed=3)})


def _measure(rounds: Rounds, scenarios: list[Scenario], models: dict[str, Model], count: int, console: Console) -> None:
    with terminal.progress(console) as bar:
        task = bar.add_task("", total=count * sum(map(steps, scenarios)))
        for number in range(1, count + 1):
            for scenario in scenarios:
                begun = len(rounds.found)
                with closing(rounds.run(scenario, models[scenario.name], number)) as said:  # stops the servers
                    for step in said:
                        line = f"{number}/{count} {scenario.name}: {step}"
                        bar.update(task, advance=1, description=line, refresh=True)
                if count > 1:
                    of_this_round = medians.Table(rounds.found[begun:])
                    bar.console.print(terminal.grid(scenario, of_this_round, f"round {number} of {count}"))


def _write(
    file: Path,
    rounds: Rounds,
    table: medians.Table,
    facts: machine.Machine,
    verdicts: list[targets.Verdict],
    settings: dict[str, int],
) -> None:
    """Everything: what was found in each round, the medians, the targets, what was left out."""
    statistics = [
        {"scenario": key[0], "cell": key[1], "server": key[2], "metric": key[3], **structs.asdict(seen)}
        for key in table.keys
        if (seen := table.of(*key))
    ]
    judged = [
        {
            **structs.asdict(verdict.target),
            "found": verdict.found and structs.asdict(verdict.found),
            "met": verdict.met,
        }
        for verdict in verdicts
    ]
    document = {
        "format": 1,
        "machine": structs.asdict(facts),
        "settings": settings,
        "targets": judged,
        "ratios": _ratios(table),
        "medians": statistics,
        "left_out": [structs.asdict(each) for each in rounds.left],
        "measured": as_rows(rounds.found),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(file, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def _ratios(table: medians.Table) -> list[dict[str, object]]:
    """Throughput of every server to MLServer's and to the floor's in the same cell."""
    found: list[dict[str, object]] = []
    for scenario, cell, server, metric in table.keys:
        for base in (contestants.ANCHOR, FLOOR):
            ratio = table.ratio(scenario, metric, (cell, server), (cell, base))
            if ratio and cell and server != base:
                names = {"scenario": scenario, "cell": cell, "server": server, "metric": metric, "to": base}
                found.append({**names, **structs.asdict(ratio)})
    return found


def _latest() -> Path | None:
    try:
        return ROOT / json.loads(LATEST.read_text(encoding="utf-8"))["path"]
    except (OSError, ValueError, KeyError):
        return None


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that the servers are stopped
    try:
        sys.exit(main())
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
