"""`python -m loadtests`: ask a running server, write a report, say whether the budgets hold."""

# Locust first: it replaces parts of the standard library, which must not have been used before.
from loadtests.run import Plan, run  # isort: skip

import argparse
import http.client
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from contracts import budgets, bundle, report
from contracts.errors import InputError
from loadtests.locustfile import DIGEST
from loadtests.verdict import verdict

STEM = "loadtest"
CPUS = os.cpu_count() or 1


class Arguments(argparse.ArgumentParser):
    """Refuses bad arguments as every bad input is refused: in one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"arguments: {message}; see python -m loadtests --help")


def arguments() -> Arguments:
    """The command line."""
    parser = Arguments(prog="python -m loadtests", description="Hold a running server against the budgets.")
    add = parser.add_argument
    add("--url", required=True, help="of the server, such as http://127.0.0.1:8080")
    add("--bundle", type=Path, required=True, help="folder of the bundle that it should serve")
    add("--environment", required=True, help="whose budgets hold: staging, production")
    add("--budgets", type=Path, default=Path("conf/base/budgets.yml"), help="(default %(default)s)")
    add("--report", type=Path, required=True, help=f"folder for {STEM}.json, .xml, .md, .html and Locust's own page")
    add("--seconds", type=count, help="to measure (default: load_test.seconds of the budgets)")
    add("--users", type=count, help="clients at the same time (default: load_test.users of the budgets)")
    return parser


def test(options: argparse.Namespace) -> report.Report:
    """Ask, judge and write; raises InputError when there is nothing to ask, or nothing to ask about."""
    tested = bundle.load(options.bundle)
    limits = budgets.load(options.budgets, options.environment)
    plan = Plan(
        url=options.url.rstrip("/"),
        users=options.users or limits.load_test.users,
        seconds=options.seconds or limits.load_test.seconds,
        warmup_seconds=limits.load_test.warmup_seconds,
        rows=limits.load_test.rows_per_request,
    )
    check_server(plan.url, tested.manifest.name)
    seen = run(tested, plan, options.report / f"{STEM}-locust.html")
    facts = {
        "server": plan.url,
        "environment": options.environment,
        "clients": f"{plan.users}, rows a request: {plan.rows}",
        "time": f"{plan.seconds} s, after {plan.warmup_seconds} s of warm-up",
        "on": f"{CPUS} CPUs, shared by clients and whatever else runs there",
    }
    return verdict(seen, limits, tested, facts)


def check_server(url: str, model: str) -> None:
    """Raise InputError unless a server with this model answers at `url`."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise InputError(f"{url}: url: is not http://HOST:PORT; give the server's address")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname, parts.port, timeout=5)
        connection.request("GET", f"{parts.path}/v2/models/{model}/ready")
        answer = connection.getresponse()
        document = answer.read()
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{url}: url: nobody answers there ({reason}); start the server: make serve") from error
    if answer.headers.get(DIGEST) is None:
        raise InputError(f"{url}: url: is not an inference server of ours (status {answer.status}); give its address")
    if answer.status != 200:
        detail = json.loads(document).get("detail", "")
        raise InputError(f"{url}: url: {model} is not ready there: {detail}")


def main(line: Sequence[str] | None = None) -> int:
    """The exit code: 0 the budgets hold, 1 they do not, 2 there was nothing to test, 130 Ctrl-C."""
    try:
        options = arguments().parse_args(line)
        result = test(options)
        paths = report.write(result, options.report, STEM)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: no report was written", file=sys.stderr)
        return 130
    for check in result.checks:
        mark = {"pass": "ok", "warn": "warn", "fail": "FAIL", "not_run": "NOT RUN"}[check.status]
        value = check.value if isinstance(check.value, str) else f"{check.value:.4g}"
        print(f"{mark:8}{check.name:20} {value} (budget {check.threshold})  {check.detail}".rstrip())
    print(f"{'passed' if result.passed else 'refused'}: {paths['html']}")
    return 0 if result.passed else 1


def count(text: str) -> int:
    """A positive number."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
