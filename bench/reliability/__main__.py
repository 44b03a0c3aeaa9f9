"""`python -m bench.reliability`: do harm to the server in every way that is known, and write down what held."""

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

from msgspec import structs
from rich.console import Console

from bench.reliability import findings
from bench.reliability.findings import Result
from bench.reliability.setup import FULL_MINUTES, Setup
from contracts import budgets
from contracts.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = ("soak", "overload", "replacement", "crash", "shadow", "mutants", "clients", "fuzz")


def main() -> int:
    """0 when everything holds, 1 when something does not, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m bench.reliability", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--scenarios", default=",".join(SCENARIOS), help="which, by comma (default: %(default)s)")
    add(
        "--minutes",
        type=float,
        default=FULL_MINUTES,
        help="of the soak; a shorter one shortens all (default: %(default)g)",
    )
    add("--scratch", type=Path, help="folder for bundles, kept afterwards (default: a temporary one)")
    add("--no-document", action="store_true", help="leave docs/reliability.md as it is")
    arguments = parser.parse_args()
    chosen = arguments.scenarios.split(",")
    if unknown := sorted(set(chosen) - set(SCENARIOS)):
        raise InputError(f"--scenarios: {unknown[0]}: there is no such scenario; there are {', '.join(SCENARIOS)}")
    console = Console()
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="reliability-") as temporary:
        scratch = arguments.scratch or Path(temporary)
        promised = budgets.load(ROOT / "conf/base/budgets.yml")
        setup = Setup(
            scratch, arguments.minutes, promised, lambda line: console.print(f"  [dim]{line}", highlight=False)
        )
        for name in chosen:
            console.print(f"[bold]{name}")
            begun = time.monotonic()
            result: Result = importlib.import_module(f"bench.reliability.{name}").scenario(setup)
            results.append(structs.replace(result, seconds=round(time.monotonic() - begun, 1)))
            console.print(findings.table(results[-1]))
            findings.write(results, document=not arguments.no_document)  # at once: a long run may be stopped
    broken = [f"{result.scenario}: {finding.name}" for result in results for finding in result.failed]
    skipped = [result.scenario for result in results if result.not_run]
    held = sum(finding.holds is True for result in results for finding in result.findings)
    console.print(f"{held} hold, {len(broken)} do not{''.join(f'; {line}' for line in broken)}")
    if skipped:
        console.print(f"not run: {', '.join(skipped)}")
    console.print(f"written: {findings.JSON.relative_to(ROOT)}, {findings.PAGE.relative_to(ROOT)}")
    return 1 if broken else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
