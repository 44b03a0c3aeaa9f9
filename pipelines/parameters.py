"""Parameters as typed values: each pipeline's `parameters.py` says what `conf/base/parameters_<pipeline>.yml` may hold.

A pipeline's parameters are one frozen struct, `pipelines/<name>/parameters.py: Parameters`, under the top key of the
pipeline's name; its nodes ask for `params:<name>` and get that struct. A key that is misspelt, in the file or after
`--params`, is refused before anything runs.
"""

import re
from importlib import import_module
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from contracts.errors import InputError
from pipelines.pipeline_registry import PACKAGE, names

T = TypeVar("T")


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything that is read from a configuration file: a key that is not known is an error, not a silence."""


def types() -> dict[str, type[Section]]:
    """The struct of every pipeline that has parameters, by the pipeline's name."""
    return {
        name: import_module(f"pipelines.{name}.parameters").Parameters
        for name in names()
        if (PACKAGE / name / "parameters.py").exists()
    }


def typed(raw: dict[str, Any]) -> dict[str, Section]:
    """Convert all parameters of a run (Kedro's merged dictionary); raises InputError with file, key and way out."""
    kinds = types()
    if unknown := sorted(set(raw) - set(kinds)):
        known = ", ".join(kinds) or "none"
        raise InputError(f"parameters: {unknown[0]}: no pipeline has such parameters; known: {known}")
    place = "conf/base/parameters_{}.yml"
    return {name: convert(raw.get(name, {}), kind, place.format(name), name) for name, kind in kinds.items()}


def convert(value: Any, kind: type[T], place: str, key: str = "") -> T:
    """`value` as a `kind`; raises InputError "place: key: reason; way out" when it does not fit."""
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `")
        found, where = _locate(value, kind, path.rpartition("$")[2].rstrip("`"))
        where = ".".join(part for part in (key, where) if part) or "document"
        raise InputError(f"{place}: {where}: {reason}; {_way_out(found, reason)}") from error


def _locate(value: Any, kind: Any, path: str) -> tuple[Any, str]:
    """The type that was wanted at msgspec's `path`, and the path with the keys that it leaves out as `[...]`."""
    where = ""
    for field, entry in re.findall(r"\.(\w+)|\[(\d+|\.\.\.)\]", path):
        kind = _inner(kind)
        if field:
            kind, value, where = get_type_hints(kind, include_extras=True)[field], value[field], f"{where}.{field}"
        elif entry == "...":
            kind = get_args(kind)[-1]
            name = next((name for name, item in value.items() if not _fits(item, kind)), entry)
            value, where = value.get(name), f"{where}.{name}"
        else:
            kind, value, where = get_args(kind)[0], value[int(entry)], f"{where}[{entry}]"
    return _inner(kind), where.lstrip(".")


def _inner(kind: Any) -> Any:
    """The type inside `Annotated[...]` and `... | None`."""
    while get_origin(kind) in (Annotated, Union, UnionType):
        kind = get_args(kind)[0]
    return kind


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        return False
    return True


def _way_out(kind: Any, reason: str) -> str:
    if "unknown field" in reason and isinstance(kind, type) and issubclass(kind, Struct):
        return f"known here: {', '.join(kind.__struct_fields__)}"
    return "correct it there, or after --params"
