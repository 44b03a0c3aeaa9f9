"""Schema gate: the bundle takes what the schema declares, and the splits hold it."""

from collections.abc import Callable, Mapping

import pyarrow as pa
from pyarrow import dataset as ds

from contracts.bundle import Bundle
from contracts.report import Check
from pipelines.schema import Feature, Schema
from pipelines.validation.split_tables import opened, quoted
from pipelines.validation.window import SEGMENT

GATE = "schema"
TYPES: dict[str, Callable[[pa.DataType], bool]] = {
    "string": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    "float32": lambda kind: pa.types.is_floating(kind) or pa.types.is_integer(kind),
    "int64": pa.types.is_integer,
    "bool": pa.types.is_boolean,
}
TIMES = ("prediction_time", "label_known_at")


def check_input_schema(
    bundle: Bundle,
    schema: Schema,
    feature_rows: int,
    splits: Mapping[str, ds.Dataset],
    minimum_rows: int,
    missing_increase: float,
) -> list[Check]:
    """Every check of the gate. `feature_rows` counts the feature table; shares are of the test split's rows."""
    checks = [
        _check("inputs", _inputs(bundle, schema)),
        _check("task and target", _task(bundle, schema)),
        _check("split columns", _columns(schema, splits)),
        _check("feature table", None if feature_rows else "the feature table is empty", feature_rows, 1),
    ]
    rows = splits["test"].count_rows()
    few = (
        None if rows >= minimum_rows else f"the test window has {rows} rows: figures over so few say nothing; widen it"
    )
    checks.append(_check("test rows", few, rows, minimum_rows))
    if checks[2].refused or not rows:
        reason = "the test split has no rows" if rows == 0 else "a column is missing or has another type"
        return checks + [
            Check(gate=GATE, name=name, status="not_run", detail=reason) for name in ("labels", "missing values")
        ]
    return [*checks, _labels(schema, splits), _missing(schema, splits, missing_increase)]


def _inputs(bundle: Bundle, schema: Schema) -> str | None:
    found = {column.name: (column.dtype, column.source, column.nullable) for column in bundle.manifest.inputs}
    declared = {name: (_packed(feature), feature.source, feature.nullable) for name, feature in schema.features.items()}
    for name in sorted(found.keys() | declared.keys()):
        if name not in found:
            return f"{name} is declared and the bundle does not take it; train again"
        if name not in declared:
            return f"the bundle takes {name}, which the schema does not declare; train again"
        if found[name] != declared[name]:
            return f"{name}: the bundle says {_words(found[name])}, the schema {_words(declared[name])}; train again"
    return None


def _packed(feature: Feature) -> str:
    """The dtype in the bundle: ONNX has no missing whole number, so a nullable one travels as float32 with NaN."""
    return "float32" if feature.nullable and feature.dtype in ("int64", "bool") else feature.dtype


def _words(column: tuple[str, str, bool]) -> str:
    dtype, source, nullable = column
    return f"{dtype} from {source}{', nullable' if nullable else ''}"


def _task(bundle: Bundle, schema: Schema) -> str | None:
    found, declared = (bundle.manifest.task, bundle.manifest.target), (schema.task, schema.target)
    return None if found == declared else f"the bundle predicts {' '.join(found)}, the schema says {' '.join(declared)}"


def _columns(schema: Schema, splits: Mapping[str, ds.Dataset]) -> str | None:
    for split in ("train", "validation", "test"):
        if split not in splits:
            return f"there is no {split} split"
        found = splits[split].schema
        wanted = [
            *schema.spine.key,
            *TIMES,
            "label",
            "block",
            *(SEGMENT + name for name in schema.segments),
            *schema.features,
        ]
        if absent := [name for name in wanted if name not in found.names]:
            return f"{split}: {absent[0]} is missing"
        for name in TIMES:
            if not pa.types.is_timestamp(found.field(name).type):
                return f"{split}: {name} is {found.field(name).type}, not a timestamp"
        for name, feature in schema.features.items():
            if not TYPES[feature.dtype](found.field(name).type):
                return f"{split}: {name} is {found.field(name).type}, the schema says {feature.dtype}"
    return None


def _labels(schema: Schema, splits: Mapping[str, ds.Dataset]) -> Check:
    """Train and test need at least two different labels each, and none that is missing."""
    with opened(splits) as tables:
        for split in ("train", "test"):
            query = f"SELECT count(DISTINCT label), count(*) - count(label) FROM {split}"  # noqa: S608 (names of ours)
            distinct, missing = tables.execute(query).fetchone() or (0, 0)
            if missing:
                return _check("labels", f"{missing} labels of the {split} split are missing", missing, 0)
            if distinct < 2:
                return _check(
                    "labels",
                    f"the {split} split has {distinct} distinct label; nothing can be learned or measured",
                    distinct,
                    2,
                )
            if split == "test" and schema.task == "binary" and distinct > 2:
                return _check("labels", f"a binary label has {distinct} values", distinct, 2)
    return _check("labels", None, distinct if schema.task != "regression" else None)


def _missing(schema: Schema, splits: Mapping[str, ds.Dataset], increase: float) -> Check:
    """A value that stops coming is a broken feed, not a season: more missing in the test window than in training."""
    shares = {split: _missing_shares(schema, splits, split) for split in ("train", "test")}
    for name, feature in schema.features.items():
        for split, found in shares.items():
            if found[name] and not feature.nullable:
                return _check(
                    "missing values",
                    f"{name} is not nullable and is missing in {found[name]:.2%} of the {split} rows",
                    found[name],
                    0.0,
                )
    worst = max(schema.features, key=lambda name: shares["test"][name] - shares["train"][name])
    grown = shares["test"][worst] - shares["train"][worst]
    sentence = (
        f"{worst} is missing in {shares['test'][worst]:.1%} of the test rows, {shares['train'][worst]:.1%} in training"
    )
    return _check(
        "missing values", f"{sentence}; look at its source" if grown > increase else None, grown, increase, sentence
    )


def _missing_shares(schema: Schema, splits: Mapping[str, ds.Dataset], split: str) -> dict[str, float]:
    counts = ", ".join(f"1 - count({quoted(name)}) / count(*)" for name in schema.features)
    with opened(splits) as tables:
        found = tables.execute(f"SELECT {counts} FROM {split}").fetchone()  # noqa: S608 (quoted names)
    return dict(zip(schema.features, found or (), strict=True))


def _check(
    name: str, problem: str | None, value: float | None = None, threshold: float | None = None, detail: str = ""
) -> Check:
    return Check(
        gate=GATE,
        name=name,
        status="fail" if problem else "pass",
        value=value,
        threshold=threshold,
        detail=problem or detail,
    )
