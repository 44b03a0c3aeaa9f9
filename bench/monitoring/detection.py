"""How long it takes until an alert fires, by how much goes wrong: the rendered rules, run by promtool."""

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from bench.monitoring import rendered
from bench.monitoring.rendered import Monitoring

ALERT = "AvailabilityBudgetBurns"
STEP = 30  # seconds between two evaluations, and two scrapes: the coarser of what a cluster does
CLEAN_HOURS = 24  # before it begins
UNEXPECTED = re.compile(r"expr: .*?, time: (\S+),\s+exp: *\S+\s+got: *(.*)")


class Case(Struct, frozen=True):
    """So many requests a second, of which such a share fails from a moment on, and for so long."""

    share: float
    requests: float = 100.0
    minutes: float | None = None  # None: it does not end
    looked_hours: int = 8


class Detected(Struct, frozen=True):
    """Minutes from the first failure to the page and to the ticket, and from the last one to the end of both."""

    case: Case
    page: float | None
    ticket: float | None
    page_ends: float | None


def measure(monitoring: Monitoring, case: Case) -> Detected:
    """What the availability alert of `monitoring` does in this case; None: it does not fire in the time looked at."""
    firing = _firing(monitoring, case)
    first = {name: min(times, default=None) for name, times in firing.items()}
    last = max(firing["page"], default=None)
    ended = None if last is None or case.minutes is None else last + STEP / 60 - case.minutes
    return Detected(case, first["page"], first["ticket"], ended)


def _firing(monitoring: Monitoring, case: Case) -> dict[str, list[float]]:
    """By severity, the minutes since the first failure at which the alert fires."""
    begun, end = CLEAN_HOURS * 3600, (CLEAN_HOURS + case.looked_hours) * 3600
    times = range(begun, end, STEP)
    with tempfile.TemporaryDirectory(prefix="detection-") as folder:
        rules = monitoring.only(ALERT)
        rendered.write(rules, Path(folder) / "rules.yml")
        test = {
            "interval": f"{STEP}s",
            "input_series": _series(monitoring.namespace, case),
            "promql_expr_test": [
                {
                    "expr": f'count by (severity) (ALERTS{{alertname="{ALERT}",alertstate="firing"}})',
                    "eval_time": f"{time}s",
                    "exp_samples": [],
                }
                for time in times
            ],
        }
        order = [group["name"] for group in rules.groups]
        document = {
            "rule_files": ["rules.yml"],
            "evaluation_interval": f"{STEP}s",
            "group_eval_order": order,
            "tests": [test],
        }
        file = Path(folder) / "test.yml"
        file.write_text(json.dumps(document))
        said = promtool(file)
    found: dict[str, list[float]] = {"page": [], "ticket": []}
    # What is not as expected is printed, with its time: so nothing expected means that everything is printed.
    for time, got in UNEXPECTED.findall(said):
        for severity in found:
            if f'severity="{severity}"' in got:
                found[severity].append((_seconds(time) - begun) / 60)
    return found


def promtool(test: Path) -> str:
    """What `promtool test rules` says about a file."""
    command = [rendered.program("promtool"), "test", "rules", str(test)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _series(namespace: str, case: Case) -> list[dict[str, str]]:
    """Counters of one server. A status is counted from its first answer on: before, there is no such series."""
    clean, looked = (hours * 3600 // STEP for hours in (CLEAN_HOURS, case.looked_hours))
    bad = looked if case.minutes is None else int(case.minutes * 60) // STEP
    each = case.requests * STEP
    failed, fine = each * case.share, each * (1 - case.share)
    at_end = each * clean + fine * bad
    good = f"0+{each:g}x{clean} {each * clean + fine:.12g}+{fine:g}x{bad - 1}"
    wrong = f"_x{clean + 1} {failed:g}+{failed:g}x{bad - 1}"
    if looked > bad:
        good += f" {at_end + each:.12g}+{each:g}x{looked - bad - 1}"
        wrong += f" {failed * bad:.12g}x{looked - bad - 1}"
    pod = 'pod="model-1",rollouts_pod_template_hash="abc"'
    name = f'ml_inference_requests_total{{namespace="{namespace}",{pod},route="infer"'
    return [{"series": f'{name},code="200"}}', "values": good}, {"series": f'{name},code="500"}}', "values": wrong}]


def _seconds(duration: str) -> float:
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)([dhms])", duration))


def table(found: list[Detected]) -> str:
    """In Markdown."""
    lines = ["| fail | requests a second | page after | ticket after | page ends after |", "|---|---|---|---|---|"]
    for each in found:
        times = (each.page, each.ticket, each.page_ends)
        shown = [f"{time:g} min" if time is not None else "–" for time in times]
        asked = f"{each.case.requests:g}"
        failing = f"{each.case.share * 100:g} %"
        if each.case.minutes is not None:
            failing += f" for {each.case.minutes:g} min"
        lines.append("| " + " | ".join([failing, asked, *shown]) + " |")
    return "\n".join(lines)


def decode(document: Any) -> list[Detected]:
    """From JSON."""
    return msgspec.convert(document, list[Detected])
