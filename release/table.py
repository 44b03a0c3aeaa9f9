"""Columns of text for a terminal."""

import datetime as dt
from collections.abc import Sequence


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under their heads, each column as wide as its longest cell; an empty cell shows as `-`."""
    cells = [list(head), *([cell or "-" for cell in row] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def pairs(rows: dict[str, str]) -> str:
    """A name and its value on each line."""
    width = max(len(name) for name in rows)
    return "\n".join(f"{name:{width}}  {value or '-'}" for name, value in rows.items())


def moment(seconds: int) -> str:
    """Seconds since 1970 as UTC, ISO 8601."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(seconds: float) -> str:
    """A time span as people say it: the two largest units."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    left, said = int(seconds), list[str]()
    for name, size in units:
        if left >= size or (name == "s" and not said):
            said.append(f"{left // size} {name}")
            left %= size
    return " ".join(said[:2])
