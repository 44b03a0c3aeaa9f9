"""The test window as the gates look at it: labels, days, segments and what each model predicts, without the features.

The features stream through once, in batches; what stays is a few bytes per row.
"""

import datetime as dt
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from msgspec import Struct, structs
from pyarrow import dataset as ds

from contracts.bundle import Bundle, Manifest
from contracts.errors import InputError
from contracts.report import Check
from pipelines.scoring.columns import columns
from serving.runtime import Model

EPOCH = dt.date(1970, 1, 1)
SEGMENT = "segment_"
UNKNOWN = -1  # the label is no class of the model


class Segment(Struct, frozen=True, kw_only=True):
    """A grouping of the rows: `names[codes[row]]` is the group of a row."""

    names: tuple[str, ...]
    codes: np.ndarray  # int32 [rows]


class Window(Struct, frozen=True, kw_only=True):
    """The rows of the test window in the split's order, without those of a class that the model never saw."""

    label: np.ndarray  # float64 [rows]: 0/1, the class's number, or the value
    block: np.ndarray  # int32 [rows]: number of the row's day in `days`
    days: tuple[dt.date, ...]
    segments: dict[str, Segment]
    predictions: dict[str, np.ndarray]  # by "candidate" and "champion": the first output, [rows] or [rows, classes]
    unanswered: dict[str, str] = {}  # models that could not be asked, with the reason

    @property
    def rows(self) -> int:
        return len(self.label)


class NotRun(Struct, frozen=True, kw_only=True):
    """In place of a result: why there is none."""

    reason: str


def predict(split: ds.Dataset, models: Mapping[str, Bundle], batch_rows: int) -> Window:
    """Run each bundle over the split, all over the same batches, so that their rows are the same.

    Raises InputError when a model cannot take the split's columns: one is missing, or holds what it may not.
    """
    runtimes = {name: Model(bundle, threads=0) for name, bundle in models.items()}
    manifests = [bundle.manifest for bundle in models.values()]
    segments = [name for name in split.schema.names if name.startswith(SEGMENT)]
    wanted = ["label", "block", *segments, *(column.name for manifest in manifests for column in manifest.inputs)]
    if absent := [name for name in wanted if name not in split.schema.names]:
        raise InputError(
            f"test split: {absent[0]}: is not there; keep that column in the features while a model needs it"
        )
    labels, blocks, found = [], [], {name: _Coder() for name in segments}
    answers: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for batch in batches(split, list(dict.fromkeys(wanted)), batch_rows):
        label = _labels(batch.column("label"), manifests[0])
        if (label == UNKNOWN).any():
            batch, label = batch.filter(pa.array(label != UNKNOWN)), label[label != UNKNOWN]
        labels.append(label)
        blocks.append(batch.column("block").cast(pa.date32()).cast(pa.int32()).to_numpy())
        for name in segments:
            found[name].add(batch.column(name))
        for name, runtime in runtimes.items():
            outputs = runtime.predict(columns(batch, runtime.manifest.inputs))
            answers[name].append(outputs[runtime.manifest.outputs[0].name])
    if not sum(map(len, labels)):
        raise InputError("test split: rows: there are none; widen the test window (training.test_until)")
    days, block = np.unique(np.concatenate(blocks), return_inverse=True)
    return Window(
        label=np.concatenate(labels),
        block=block.astype(np.int32),
        days=tuple(EPOCH + dt.timedelta(days=int(day)) for day in days),
        segments={name.removeprefix(SEGMENT): coder.segment() for name, coder in found.items()},
        predictions={name: np.concatenate(parts) for name, parts in answers.items()},
    )


def predict_both(split: ds.Dataset, candidate: Bundle, champion: Bundle | None, batch_rows: int) -> Window:
    """The candidate's predictions, and the champion's where it can still take the split's columns."""
    if champion is None:
        return predict(split, {"candidate": candidate}, batch_rows)
    try:
        return predict(split, {"candidate": candidate, "champion": champion}, batch_rows)
    except InputError as error:
        alone = predict(split, {"candidate": candidate}, batch_rows)  # raises again when it is the candidate's fault
        return structs.replace(alone, unanswered={"champion": str(error)})


def batches(split: ds.Dataset, names: list[str], rows: int) -> Iterator[pa.RecordBatch]:
    """The named columns in file order, with little read ahead; empty batches are left out."""
    for batch in split.to_batches(columns=names, batch_size=rows, batch_readahead=2, fragment_readahead=1):
        if batch.num_rows:
            yield batch


def sample(split: ds.Dataset, names: list[str], rows: int) -> pa.Table:
    """At most `rows` rows, evenly spaced over the split and so the same each time; it is not read whole into memory."""
    step = -(-split.count_rows() // rows) or 1
    start, parts = 0, []
    for batch in batches(split, names, 65_536):
        first = -start % step
        parts.append(batch.take(pa.array(np.arange(first, batch.num_rows, step))))
        start += batch.num_rows
    return pa.Table.from_batches(parts, schema=pa.schema([split.schema.field(name) for name in names]))


def not_run(gate: str, names: tuple[str, ...], reason: str) -> list[Check]:
    """Blocking checks that did not run, with the reason."""
    return [Check(gate=gate, name=name, status="not_run", detail=reason) for name in names]


class _Coder:
    """Gives names numbers, over batches."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._codes: list[np.ndarray] = []

    def add(self, values: pa.Array) -> None:
        encoded = values.cast(pa.string()).fill_null("(missing)").dictionary_encode()
        numbers = [self._names.setdefault(name, len(self._names)) for name in encoded.dictionary.to_pylist()]
        self._codes.append(np.array(numbers, np.int32)[encoded.indices.to_numpy()])

    def segment(self) -> Segment:
        return Segment(names=tuple(self._names), codes=np.concatenate(self._codes))


def _labels(values: pa.Array, manifest: Manifest) -> np.ndarray:
    if values.null_count:
        raise InputError(
            "test split: label: is missing in some rows; the label's policy leaves such rows out of the table"
        )
    if manifest.task != "multiclass":
        return values.cast(pa.float64()).to_numpy()
    encoded = values.cast(pa.string()).dictionary_encode()
    known = {name: number for number, name in enumerate(manifest.classes)}
    numbers = [known.get(name, UNKNOWN) for name in encoded.dictionary.to_pylist()]
    return np.array(numbers, np.float64)[encoded.indices.to_numpy()]
