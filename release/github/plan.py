"""What a repository on GitHub lacks of what .github/settings says, and the requests that would bring it."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct


class Request(Struct, frozen=True):
    """A request that writes."""

    method: str
    path: str
    body: Any = None


class Change(Struct, frozen=True, kw_only=True):
    """One thing that is to become another: what it is, how it differs, what brings it."""

    what: str
    lines: tuple[str, ...]
    requests: tuple[Request, ...]


class Plan(Struct, frozen=True, kw_only=True):
    """What differs; what is there, named by no file, and stays; what could not be asked."""

    changes: tuple[Change, ...] = ()
    kept: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def together(plans: Iterable[Plan]) -> Plan:
    """All of them, in their order."""
    listed = list(plans)
    return Plan(
        changes=tuple(each for plan in listed for each in plan.changes),
        kept=tuple(each for plan in listed for each in plan.kept),
        refused=tuple(each for plan in listed for each in plan.refused),
    )


def differences(wanted: Mapping[str, Any], there: Mapping[str, Any], at: str = "") -> tuple[str, ...]:
    """A line for each thing that is wanted and is not so. What only `there` has is no difference."""
    found: list[str] = []
    for key, value in wanted.items():
        place, now = f"{at}{key}", there.get(key)
        if isinstance(value, Mapping) and value:
            found += differences(value, now if isinstance(now, Mapping) else {}, f"{place}.")
        elif key not in there:
            found.append(f"+ {place}" if isinstance(value, Mapping) else f"+ {place}: {_word(value)}")
        elif not isinstance(value, Mapping) and not same(value, now):
            found.append(f"~ {place}: {_word(now)} -> {_word(value)}")
    return tuple(found)


def same(wanted: Any, there: Any) -> bool:
    """Equal; the order of a list says nothing."""
    if isinstance(wanted, list | tuple) and isinstance(there, list | tuple):
        return sorted(map(repr, wanted)) == sorted(map(repr, there))
    return bool(wanted == there)


def _word(value: Any) -> str:
    if value is None or value == "":
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_word, value)) or "none"
    return str(value)
