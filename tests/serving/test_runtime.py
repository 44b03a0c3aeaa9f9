import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import contracts.bundle
from contracts.bundle import Bundle, BundleError
from contracts.errors import InputError
from serving.columns import ColumnError
from serving.runtime import SLICE_ROWS, Model
from tests import bundles

ROW = {"station": ["north"], "temperature": [1.5], "hour": [3], "holiday": [True]}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.write(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> Model:
    return Model(bundle)


def changed(store: Path, **fields: object) -> Bundle:
    """The tiny bundle with other contents, written and verified like any other."""
    contents = bundles.tiny()
    for name, value in fields.items():
        contents = replace(contents, **{name: value})
    return contracts.bundle.write(store, contents)


def expected(station: str | None, temperature: float | None, hour: int, holiday: bool) -> float:
    score = {"north": 0.5, "south": -0.5, "east": 1.0}.get(station, 0.0)
    return 1 / (1 + math.exp(-(score + 0.1 * (temperature or 0.0) + 0.05 * hour + holiday - 2)))


@pytest.mark.parametrize(("task", "shape"), [("binary", (2,)), ("multiclass", (2, 3)), ("regression", (2,))])
def test_every_kind_of_task_is_answered_and_reproduces_its_golden_rows(
    tmp_path: Path, task: str, shape: tuple[int, ...]
) -> None:
    model = Model(bundles.write(tmp_path, task))
    assert model.verify_golden() == 0
    (answer,) = model.predict({name: values * 2 for name, values in ROW.items()}).values()
    assert answer.shape == shape
    assert answer.dtype == np.float32


def test_no_rows_are_answered_with_no_rows(tmp_path: Path) -> None:
    for task, shape in (("binary", (0,)), ("multiclass", (0, 3))):
        (answer,) = Model(bundles.write(tmp_path, task)).predict({name: [] for name in ROW}).values()
        assert answer.shape == shape


def test_lists_and_arrays_of_any_fitting_type_give_the_same(model: Model) -> None:
    lists = {"station": ["north", None], "temperature": [2, None], "hour": [3.0, 4], "holiday": [1, False]}
    arrays = {
        "station": np.array(["north", ""]),
        "temperature": np.array([2, np.nan], np.float64),
        "hour": np.array([3, 4], np.uint64),
        "holiday": np.array([1, 0], np.int8),
    }
    objects = {name: np.array(values, object) for name, values in lists.items()}
    answers = [model.predict(columns)["probability"].tolist() for columns in (lists, arrays, objects)]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0] == pytest.approx([expected("north", 2, 3, True), expected(None, None, 4, False)], rel=1e-5)


def test_a_large_batch_gives_what_its_slices_give(model: Model) -> None:
    rows = 2 * SLICE_ROWS + 5
    columns = {
        "station": np.resize(np.array(["north", "south", None], object), rows),
        "temperature": np.linspace(-20, 40, rows),
        "hour": np.arange(rows) % 24,
        "holiday": np.arange(rows) % 2 == 0,
    }
    whole = model.predict(columns)["probability"]
    last = model.predict({name: values[-7:] for name, values in columns.items()})["probability"]
    assert whole.shape == (rows,)
    assert whole[-7:].tolist() == last.tolist()


@pytest.mark.parametrize(
    ("change", "column", "reason"),
    [
        ({"hour": None}, "hour", "is missing"),
        ({"wind": [1]}, "wind", "is not a column of this model"),
        ({"hour": [1, 2]}, "hour", "has 2 rows where station has 1"),
        ({"hour": [None]}, "hour", "row 0 is missing"),
        ({"hour": [1.5]}, "hour", "row 0 is not a whole number"),
        ({"hour": [True]}, "hour", "row 0 is not a number"),
        ({"hour": [10**400]}, "hour", "too large"),
        ({"hour": [1e300]}, "hour", "row 0 is not a whole number that int64 holds"),
        ({"hour": np.array([2**63], np.uint64)}, "hour", "row 0 is too large"),
        ({"hour": [[1]]}, "hour", "row 0 is not a number"),
        ({"hour": np.zeros((1, 1))}, "hour", "has rank 2"),
        ({"temperature": ["1.5"]}, "temperature", "row 0 is not a number"),
        ({"temperature": np.array(["1.5"])}, "temperature", "where a number is expected"),
        ({"temperature": [1e300]}, "temperature", "row 0 is infinite or too large"),
        ({"temperature": [float("inf")]}, "temperature", "row 0 is infinite or too large"),
        ({"temperature": [2**24 + 1]}, "temperature", "row 0 does not fit float32 exactly"),
        ({"station": [5]}, "station", "row 0 is not text"),
        ({"station": np.array([5])}, "station", "where text is expected"),
        ({"holiday": [2]}, "holiday", "row 0 is not a truth value"),
        ({"holiday": ["true"]}, "holiday", "row 0 is not a truth value"),
        ({"holiday": [None]}, "holiday", "row 0 is missing"),
        ({"holiday": [float("nan")]}, "holiday", "row 0 is not a truth value"),
    ],
)
def test_what_a_column_cannot_take_is_refused_by_its_name(model: Model, change: dict, column: str, reason: str) -> None:
    columns = {name: values for name, values in {**ROW, **change}.items() if values is not None}
    with pytest.raises(ColumnError) as refused:
        model.predict(columns)
    assert refused.value.column == column
    assert reason in refused.value.reason
    assert str(refused.value).startswith(f"inputs: {column}: ")
    assert "\n" not in str(refused.value)


def test_the_row_that_is_wrong_is_named(model: Model) -> None:
    columns = {"station": ["a"] * 3, "temperature": [1.0] * 3, "hour": [1, 2, "secret"], "holiday": [True] * 3}
    with pytest.raises(ColumnError, match="row 2") as refused:
        model.predict(columns)
    assert "secret" not in str(refused.value)


def test_a_column_that_has_to_be_known_takes_no_missing_value(tmp_path: Path) -> None:
    manifest = bundles.tiny().manifest
    inputs = [replace(column, nullable=False) for column in manifest.inputs]
    golden = replace(
        bundles.tiny().golden,
        inputs={name: values[:2] for name, values in bundles.GOLDEN.items()},
        outputs={name: values[:2] for name, values in bundles.tiny().golden.outputs.items()},
    )
    model = Model(changed(tmp_path, manifest=replace(manifest, inputs=tuple(inputs)), golden=golden))
    model.verify_golden()
    for change in ({"station": [None]}, {"station": [""]}, {"temperature": [None]}, {"temperature": [math.nan]}):
        with pytest.raises(ColumnError, match="row 0 is missing"):
            model.predict({**ROW, **change})


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()), st.binary()
)


@given(st.fixed_dictionaries({name: st.lists(anything, min_size=2, max_size=2) for name in ROW}))
def test_whatever_comes_is_answered_rightly_or_refused(model: Model, columns: dict[str, list]) -> None:
    try:
        answer = model.predict(columns)["probability"]
    except ColumnError:
        return
    temperatures = [0.0 if t is None or math.isnan(t) else float(np.float32(t)) for t in columns["temperature"]]
    rows = zip(columns["station"], temperatures, map(int, columns["hour"]), map(bool, columns["holiday"]), strict=True)
    for value, row in zip(answer.tolist(), rows, strict=True):
        if abs(row[1]) < 100 and abs(row[2]) < 100:
            assert value == pytest.approx(expected(*row), rel=1e-4, abs=1e-6)


def test_golden_rows_that_come_out_otherwise_refuse_the_bundle(tmp_path: Path) -> None:
    golden = bundles.tiny().golden
    outputs = {"probability": [*golden.outputs["probability"][:-1], 0.999]}
    bundle = changed(tmp_path, golden=replace(golden, outputs=outputs))
    with pytest.raises(BundleError, match=r"golden\.json: probability: row 5 differs by"):
        Model(bundle).verify_golden()


def test_golden_rows_that_the_schema_refuses_refuse_the_bundle(tmp_path: Path) -> None:
    golden = bundles.tiny().golden
    inputs = {**golden.inputs, "hour": ["noon"] * 6}
    bundle = changed(tmp_path, golden=replace(golden, inputs=inputs))
    with pytest.raises(BundleError, match=r"golden\.json: hour: row 0 is not a number"):
        Model(bundle).verify_golden()


def test_a_graph_that_is_not_what_the_manifest_says_is_refused(tmp_path: Path) -> None:
    manifest = bundles.tiny().manifest
    station, temperature, hour, holiday = manifest.inputs
    cases = {
        "inputs: temperature: is tensor": (station, replace(temperature, dtype="string"), hour, holiday),
        "inputs: hour.*has no missing value": (station, temperature, replace(hour, nullable=True), holiday),
    }
    for reason, inputs in cases.items():
        with pytest.raises(BundleError, match=reason.replace("inputs: hour", r"inputs\.hour")):
            Model(changed(tmp_path, manifest=replace(manifest, inputs=inputs)))
    with pytest.raises(BundleError, match="outputs: probability: is tensor"):
        Model(changed(tmp_path, manifest=replace(manifest, outputs=(replace(manifest.outputs[0], width=2),))))


def test_bytes_that_are_no_graph_are_refused_in_one_line(tmp_path: Path) -> None:
    for number, data in enumerate((b"", b"nonsense", bundles.graph()[:-40])):
        with pytest.raises(InputError, match=r"model\.onnx: ") as refused:
            Model(changed(tmp_path / str(number), model=data))
        assert "\n" not in str(refused.value)


def test_weights_outside_of_the_verified_bytes_are_refused(tmp_path: Path) -> None:
    graph = onnx.load_from_string(bundles.graph())
    weight = graph.graph.initializer[0]
    weight.ClearField("float_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")
    (tmp_path / "weights.bin").write_bytes(bytes(4))
    with pytest.raises(BundleError, match="onnxruntime refuses it"):
        Model(changed(tmp_path, model=graph.SerializeToString()))
