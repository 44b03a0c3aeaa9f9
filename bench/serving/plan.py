"""What is measured: models, and on each of them who is asked in which ways."""

from fnmatch import fnmatch
from pathlib import Path

from msgspec import Struct, structs

from bench.serving.loads import Cell

ONE_64 = Cell("c64", "c=64", "closed", 64)
ONE_1 = Cell("c1", "c=1", "closed", 1)
JSON_32 = Cell("json32", "32 rows JSON, c=16", "closed", 16, rows=32)
BINARY_32 = Cell("binary32", "32 rows binary, c=16", "closed", 16, "binary", 32)
OPEN = Cell("rate1000", "1,000/s", "open", 1000)
UNIQUE = Cell("unique64", "c=64, no two heads alike", "closed", 64, unique=True)

USUAL = (ONE_64, ONE_1)
ALL_JSON = (ONE_64, ONE_1, JSON_32, OPEN)


class Scenario(Struct, frozen=True):
    """One model; each contestant with its cells. `hidden` is the network's width, 0 for the bundle that is named.

    Pinned: the server has one core, who asks has the other.
    """

    name: str
    title: str
    hidden: int
    contestants: dict[str, tuple[Cell, ...]]
    pinned: bool = True

    @property
    def cells(self) -> list[Cell]:
        """All of them, once each, in the order in which they are measured."""
        return list({cell.name: cell for cells in self.contestants.values() for cell in cells}.values())


SCENARIOS = (
    Scenario(
        "tensor",
        "A tensor of 32 floats (network 32-64-64-2)",
        64,
        {
            "ours": (*ALL_JSON, BINARY_32, UNIQUE),
            "mlserver": ALL_JSON,
            "floor": (*ALL_JSON, UNIQUE),
            "fastapi": ALL_JSON,
            "kserve": (*USUAL, JSON_32, BINARY_32),
            "mlflow": (*USUAL, JSON_32),
            "ours-asgi": USUAL,
            "ours-unbatched": USUAL,
        },
    ),
    Scenario(
        "columns",
        "The reference bundle, raw columns",
        0,
        {"ours": USUAL, "mlserver": USUAL, "floor": USUAL, "fastapi": USUAL, "kserve": (ONE_64,), "mlflow": (ONE_64,)},
    ),
    Scenario(
        "heavy",
        "A heavier network (32-1024-1024-2): natural batching",
        1024,
        {"ours": USUAL, "ours-unbatched": USUAL},
    ),
    Scenario(
        "workers",
        "Two workers, nothing pinned",
        64,
        {"ours": (ONE_64,), "ours-workers": (ONE_64,)},
        pinned=False,
    ),
)


def chosen(only: list[str], cells: list[str], bundle: Path | None) -> list[Scenario]:
    """The scenarios with these contestants (none named: all) and cells (globs of scenario:cell; none named: all)."""
    found = []
    for scenario in SCENARIOS:
        kept = {
            name: tuple(
                cell
                for cell in measured
                if not cells or any(fnmatch(f"{scenario.name}:{cell.name}", glob) for glob in cells)
            )
            for name, measured in scenario.contestants.items()
            if not only or name in only
        }
        kept = {name: measured for name, measured in kept.items() if measured}
        if kept and (scenario.hidden or bundle):
            found.append(structs.replace(scenario, contestants=kept))
    return found
