"""What a model is made from: data, parameters, code, requirements, each as a hash, and all of them as one.

The same `inputs_hash` gives the same bundle (on the same CPU capability and build of torch), so a model whose
inputs_hash is known is not trained again. Paths, git and the clock take no part.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Protocol

import ibis
import msgspec
from ibis import Table, Value
from ibis.expr import datatypes as dt
from msgspec import Struct

from contracts.errors import InputError
from pipelines.training.splits import Window

FORMAT = 1


class Hashes(Struct, frozen=True, kw_only=True):
    """The four parts; 64 hex digits each."""

    data_hash: str
    parameters_hash: str
    code_hash: str
    requirements_hash: str


class Identity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`training_identity`. Hashes: 64 hex digits; data window: that of the training and validation rows, UTC."""

    format: int = FORMAT
    inputs_hash: str
    data_hash: str
    parameters_hash: str
    code_hash: str
    requirements_hash: str
    seed: int
    data_from: str
    data_until: str


def combine(hashes: Hashes, seed: int, window: Window) -> Identity:
    """The identity of a training with these inputs."""
    return Identity(
        inputs_hash=digest(hashes),
        seed=seed,
        data_from=window.first.isoformat() + "Z",
        data_until=window.last.isoformat() + "Z",
        **msgspec.structs.asdict(hashes),
    )


class Made(Protocol):
    """Something that knows which inputs it was made from."""

    @property
    def inputs_hash(self) -> str:
        """64 hex digits."""


@ibis.udf.scalar.builtin(name="md5_number_lower")
def _lower(text: str) -> dt.UInt64:
    """DuckDB's own."""


@ibis.udf.scalar.builtin(name="md5_number_upper")
def _upper(text: str) -> dt.UInt64:
    """DuckDB's own."""


def hash_rows(rows: Table) -> str:
    """A hash of the rows of a table, whatever their order and that of the columns; streams, in a group-by's memory.

    Each row is hashed with MD5 and the two halves are added up (a sum, not XOR: a row that is there twice counts
    twice). It tells data apart, it is no defence against somebody who constructs a collision.
    """
    names = sorted(rows.columns)
    text: Value = ibis.literal("")
    for name in names:
        value = rows[name].cast("string")
        # With its length in front, so that no two rows read the same; "-" for missing, which "" is not.
        text = text + (value.length().cast("string") + ":" + value).fill_null("-")
    hashed = rows.select(text=text).select(lower=_lower(ibis._.text), upper=_upper(ibis._.text))
    total = hashed.aggregate(
        rows=hashed.count(),
        lower=hashed.lower.cast("decimal(38, 0)").sum(),
        upper=hashed.upper.cast("decimal(38, 0)").sum(),
    ).to_pyarrow()
    columns = {name: str(rows.schema()[name]) for name in names}
    return digest({"columns": columns, **{name: str(total[name][0].as_py()) for name in total.column_names}})


def hash_files(files: Mapping[str, bytes]) -> str:
    """A hash of files by their names within the repository and their content."""
    return digest({name: hashlib.sha256(data).hexdigest() for name, data in files.items()})


def digest(document: Any) -> str:
    """SHA-256 of a document's JSON, with keys in order."""
    return hashlib.sha256(msgspec.json.encode(document, order="deterministic")).hexdigest()


def require_same(identity: Identity, **made: Made) -> None:
    """Raise InputError when something was made from other inputs than `identity` says: a run that did not end."""
    for name, thing in made.items():
        if thing.inputs_hash != identity.inputs_hash:
            reason = f"is {thing.inputs_hash[:16]}, that of training_identity {identity.inputs_hash[:16]}"
            way_out = "a run did not get to its end: run it again, `kedro run --pipelines training,packaging`"
            raise InputError(f"{name}: inputs_hash: {reason}; {way_out}")
