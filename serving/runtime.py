"""The model of a bundle, ready to answer: the same code for the server, batch scoring and the gates.

Needs numpy, onnxruntime and contracts only. Strings travel as object arrays of `str`; a missing string is "" and a
missing number NaN (None in a list means the same).
"""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import onnxruntime as ort

from contracts.bundle import Bundle, BundleError
from serving.columns import (
    ColumnError,
    Values,
    read,
    read_numbers,
    read_together,
    typed,
    typed_numbers,
    typed_numbers_of,
)

TENSORS = {"string": "tensor(string)", "float32": "tensor(float)", "int64": "tensor(int64)", "bool": "tensor(bool)"}
# Large batches go through the graph in slices: what lies between two layers stays in the cache, and memory does not
# grow with rows.
SLICE_ROWS = 8192


class Model:
    """An onnxruntime session over the verified bytes of a bundle, with the bundle's schema in front.

    `threads` are onnxruntime's for one call. Raises BundleError when onnxruntime refuses the graph or the graph is not
    what the manifest says.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.input_names = tuple(column.name for column in self.manifest.inputs)
        self.output_names = [output.name for output in self.manifest.outputs]
        self._inputs = frozenset(self.input_names)
        plain = {column.name for column in self.manifest.inputs if column.dtype == "float32" and column.width == 1}
        self._numbers = tuple(column for column in self.manifest.inputs if column.name in plain)
        self._others = tuple(column for column in self.manifest.inputs if column.name not in plain)
        places = list(enumerate(self.manifest.inputs))
        self._number_places = [place for place, column in places if column.name in plain]
        self._required = [place for place, column in enumerate(self._numbers) if not column.nullable]
        self._number_names = [column.name for column in self._numbers]
        self._other_places = [(place, column) for place, column in places if column.name not in plain]
        self._session = _session(bundle, threads)
        _check_inputs(bundle, self._session)
        _check_outputs(bundle, self._session)

    def predict(self, columns: Mapping[str, Values]) -> dict[str, np.ndarray]:
        """Predictions for named raw columns of equal length n: per output float32 [n], or [n, width] where wider.

        Raises ColumnError (an InputError) for a missing, unknown or ill-typed column.
        """
        return self.run(self.feeds(columns))

    def feeds(self, columns: Mapping[str, Values]) -> dict[str, np.ndarray]:
        """Raw columns, checked against the schema, as the arrays that the graph takes: [rows], or [rows, width]."""
        self.require_columns(columns)
        feeds: dict[str, np.ndarray] = {}
        rows = -1
        for column in self.manifest.inputs:
            array = feeds[column.name] = read(column, columns[column.name])
            if len(array) != rows >= 0:
                reason = f"has {len(array)} rows where {self.input_names[0]} has {rows}"
                raise ColumnError(column.name, reason, "send as many rows in every column")
            rows = len(array)
        return feeds

    def require_columns(self, columns: Mapping[str, Values]) -> None:
        """Raises ColumnError unless these are the model's columns."""
        names = columns.keys()
        if names == self._inputs:
            return
        if unknown := sorted(names - self._inputs):
            raise ColumnError(unknown[0], "is not a column of this model", f"send {', '.join(self.input_names)}")
        missing = next(name for name in self.input_names if name not in names)
        raise ColumnError(missing, "is missing", "send every column; a value that is not known is null")

    def feeds_together(self, callers: Sequence[Mapping[str, Values]]) -> dict[str, np.ndarray]:
        """The feeds of several callers, one after the other, at the price of one; each has all columns.

        Raises ColumnError where `feeds` would for one of them, without saying which.
        """
        feeds: dict[str, np.ndarray] = {}
        columns = self.manifest.inputs
        if len(self._numbers) > 1 and all(type(caller[self._numbers[0].name]) is list for caller in callers):
            values = [list(chain.from_iterable(caller[column.name] for caller in callers)) for column in self._numbers]
            if (block := read_numbers(self._numbers, values)) is not None:
                feeds = {column.name: block[place] for place, column in enumerate(self._numbers)}
                columns = self._others
        for column in columns:
            feeds[column.name] = read_together(column, [caller[column.name] for caller in callers])
        return feeds

    def feeds_typed(self, callers: Sequence[Sequence[Sequence]], rows: int) -> dict[str, np.ndarray] | None:
        """As `feeds_together`, of columns in the model's order whose values are of their types already.

        None where a value needs a closer look.
        """
        feeds: dict[str, np.ndarray] = {}
        if self._numbers:
            block = self._numbers_typed(callers, rows)
            if block is None:
                return None
            feeds.update(zip(self._number_names, block, strict=True))
        for place, column in self._other_places:
            array = typed(column, [caller[place] for caller in callers])
            if array is None:
                return None
            feeds[column.name] = array
        return feeds

    def _numbers_typed(self, callers: Sequence[Sequence[Sequence]], rows: int) -> np.ndarray | None:
        """float32 [columns, rows] of all plain number columns."""
        places = self._number_places
        listed = bytes not in {type(caller[places[0]]) for caller in callers}
        if listed and rows == len(callers):  # one row each: caller by caller, one pass over what each has sent
            array = typed_numbers([caller[place][0] for caller in callers for place in places])
            return None if array is None else np.ascontiguousarray(array.reshape(rows, -1).T)
        array = typed_numbers_of([caller[place] for place in places for caller in callers])
        if array is None:
            return None
        block = array.reshape(-1, rows)
        return None if np.isnan(block[self._required]).any() else block

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The graph's answer for arrays that `feeds` gave; nothing is checked again."""
        rows = len(feeds[self.input_names[0]])
        if rows == 0:
            return {
                out.name: np.empty((0, out.width)[: min(out.width, 2)], np.float32) for out in self.manifest.outputs
            }
        if rows <= SLICE_ROWS:
            return dict(zip(self.output_names, self._session.run(self.output_names, feeds), strict=True))
        slices = (slice(start, start + SLICE_ROWS) for start in range(0, rows, SLICE_ROWS))
        answers = [self.run({name: array[part] for name, array in feeds.items()}) for part in slices]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in self.output_names}

    def verify_golden(self) -> float:
        """Reproduce the golden rows; gives the largest absolute difference seen.

        Raises BundleError when there are none, or when an answer differs by more than the bundle's tolerance.
        """
        golden, place = self.bundle.golden, self.bundle.path / "golden.json"
        try:
            answers = self.predict(golden.inputs)
        except ColumnError as error:
            raise BundleError(f"{place}: {error.column}: {error.reason}; build the bundle again") from error
        except Exception as error:  # onnxruntime's exceptions share no base class but this
            raise BundleError(f"{place}: the graph cannot answer: {_line(error)}; build the bundle again") from error
        largest = 0.0
        for name, answer in answers.items():
            expected = np.asarray(golden.outputs.get(name, ()), np.float64)
            if expected.size == 0 or expected.shape != answer.shape:
                shapes = f"{list(expected.shape)}, the model answers {list(answer.shape)}"
                raise BundleError(f"{place}: {name}: holds shape {shapes}; build the bundle again")
            difference = np.abs(answer - expected)
            tolerance = golden.absolute_tolerance + golden.relative_tolerance * np.abs(expected)
            if wrong := np.argwhere(~(difference <= tolerance)).tolist():  # "not within" catches NaN too
                row = wrong[0][0]
                reason = f"row {row} differs by {np.max(difference[row]):.3g}, more than the tolerance"
                raise BundleError(f"{place}: {name}: {reason}; model and runtime are not those it was built with")
            largest = max(largest, float(difference.max()))
        return largest


def _session(bundle: Bundle, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Only what ends the process. The errors come as exceptions, too; as log lines they would hold values of a request.
    options.log_severity_level = 4
    ort.set_default_logger_severity(4)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning starves a pod's neighbours
    try:
        # From bytes, never from a path: onnxruntime then refuses external data of every kind.
        return ort.InferenceSession(bundle.model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class but this
        place = bundle.path / "model.onnx"
        raise BundleError(f"{place}: onnxruntime refuses it: {_line(error)}; build the bundle again") from error


def _check_inputs(bundle: Bundle, session: ort.InferenceSession) -> None:
    graph = {node.name: (node.type, len(node.shape)) for node in session.get_inputs()}
    for column in bundle.manifest.inputs:
        if column.nullable and column.dtype in ("int64", "bool"):
            place = f"{bundle.path}/bundle.json: inputs.{column.name}"
            raise BundleError(f"{place}: {column.dtype} has no missing value; declare it float32 or not nullable")
        expected = (TENSORS[column.dtype], 1 if column.width == 1 else 2)
        _check_node(bundle, "inputs", column.name, graph.pop(column.name, None), expected)
    if graph:
        place = f"{bundle.path}/model.onnx: inputs: {min(graph)}"
        raise BundleError(f"{place}: is not in bundle.json; build the bundle again")


def _check_outputs(bundle: Bundle, session: ort.InferenceSession) -> None:
    graph = {node.name: (node.type, len(node.shape)) for node in session.get_outputs()}
    for output in bundle.manifest.outputs:
        expected = (TENSORS[output.dtype], 1 if output.width == 1 else 2)
        _check_node(bundle, "outputs", output.name, graph.get(output.name), expected)


def _check_node(bundle: Bundle, side: str, name: str, found: tuple[str, int] | None, expected: tuple[str, int]) -> None:
    if found != expected:
        got = "missing" if found is None else f"{found[0]} of rank {found[1]}"
        place = f"{bundle.path}/model.onnx: {side}: {name}"
        raise BundleError(f"{place}: is {got}, bundle.json says {expected[0]} of rank {expected[1]}; build it again")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
