"""What was promised of the server's speed, and whether it holds."""

from msgspec import Struct

from bench.serving.contestants import ANCHOR, FLOOR, OURS
from bench.serving.medians import Statistic, Table
from bench.serving.rounds import MEMORY, P99, RATE, SERVER, START

UNBATCHED = "ours-unbatched"


class Target(Struct, frozen=True):
    """One promise about the median of a figure of ours, or of its ratio to another one. `at_least` or `at_most`."""

    title: str
    scenario: str
    cell: str
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    to: tuple[str, str] | None = None  # cell and server of the other figure
    unit: str = ""


class Verdict(Struct, frozen=True):
    """A target with what was found; `met` is None where it was not measured."""

    target: Target
    found: Statistic | None
    met: bool | None


TARGETS = (
    Target("1 row, 64 connections, to MLServer", "tensor", "c64", RATE, 20, to=("c64", ANCHOR), unit="×"),
    Target("1 row, 64 connections, to the floor", "tensor", "c64", RATE, 0.45, to=("c64", FLOOR), unit="×"),
    Target("1 row, 1 connection, to MLServer", "tensor", "c1", RATE, 3.5, to=("c1", ANCHOR), unit="×"),
    Target("32 rows of JSON, to MLServer", "tensor", "json32", RATE, 6, to=("json32", ANCHOR), unit="×"),
    Target("32 rows as binary, to MLServer's JSON", "tensor", "binary32", RATE, 14, to=("json32", ANCHOR), unit="×"),
    Target(
        "p99 at 1,000 requests/s, to the floor",
        "tensor",
        "rate1000",
        P99,
        at_most=2.5,
        to=("rate1000", FLOOR),
        unit="×",
    ),
    Target("start to first answer", "tensor", SERVER, START, at_most=0.5, unit="s"),
    Target("memory", "tensor", SERVER, MEMORY, at_most=100, unit="MB"),
    Target("columns: 1 row, 64 connections, to MLServer", "columns", "c64", RATE, 15, to=("c64", ANCHOR), unit="×"),
    # "Wins at 64 and costs nothing at 1"; 0.95 is what the rounds' noise hides.
    Target("heavier: batching to none, 64 connections", "heavy", "c64", RATE, 1.2, to=("c64", UNBATCHED), unit="×"),
    Target("heavier: batching to none, 1 connection", "heavy", "c1", RATE, 0.95, to=("c1", UNBATCHED), unit="×"),
)
SITE_PACKAGES = Target("size of the serve environment", "", SERVER, "site_packages_megabytes", at_most=200, unit="MB")


def verdicts(table: Table, site_packages: float | None) -> list[Verdict]:
    """Every target with what was found."""
    found = [_verdict(target, _found(table, target)) for target in TARGETS]
    size = None if site_packages is None else Statistic(site_packages, site_packages, site_packages, 1)
    return [*found, _verdict(SITE_PACKAGES, size)]


def hold(found: list[Verdict], whole: bool) -> bool:
    """Whether no target is missed; of a `whole` measurement also, whether each was measured."""
    return all(verdict.met or (verdict.met is None and not whole) for verdict in found)


def _found(table: Table, target: Target) -> Statistic | None:
    if target.to is None:
        return table.of(target.scenario, target.cell, OURS, target.metric)
    return table.ratio(target.scenario, target.metric, (target.cell, OURS), target.to)


def _verdict(target: Target, found: Statistic | None) -> Verdict:
    if found is None:
        return Verdict(target, None, None)
    low = target.at_least is None or found.median >= target.at_least
    return Verdict(target, found, low and (target.at_most is None or found.median <= target.at_most))
