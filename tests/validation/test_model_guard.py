"""The model guard refuses whatever is not on its list, without running it."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, load_model_from_string, numpy_helper

from contracts import bundle
from contracts.bundle import Bundle
from contracts.report import Check
from pipelines.validation import model_guard
from pipelines.validation.parameters import Parameters
from tests import bundles
from tests.validation import station

BUDGET = msgspec.structs.replace(
    station.BUDGETS.model,
    operators=(
        *station.OPERATORS,
        "Add",
        "ConstantOfShape",
        "Expand",
        "ReduceSum",
        "Reshape",
        "Shape",
        "Mul",
        "Pow",
        "Concat",
    ),
)


def ask(asked: Bundle, parameters: Parameters, model: ModelProto | bytes | None = None) -> dict[str, Check]:
    if model is not None:
        data = model if isinstance(model, bytes) else model.SerializeToString()
        asked = msgspec.structs.replace(asked, model=data)
    return {check.name: check for check in model_guard.check_model_guard(asked, BUDGET, parameters.model_guard)}


def failed(checks: dict[str, Check]) -> set[str]:
    return {name for name, check in checks.items() if check.status == "fail"}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_clean_bundle_passes(task: str, parameters: Parameters, tmp_path: Path) -> None:
    checks = ask(bundles.write(tmp_path, task), parameters)
    assert {check.status for check in checks.values()} == {"pass"}, checks
    assert len(checks) == 14


def opened() -> ModelProto:
    return load_model_from_string(bundles.graph())


def external(model: ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")


def external_in_attribute(model: ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(1, np.float32), "hidden")
    tensor.external_data.add(key="location", value="weights.bin")
    model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=tensor))


def foreign_domain(model: ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node.append(helper.make_node("Gelu", ["score"], ["unused"], domain="com.microsoft"))


def foreign_node_only(model: ModelProto) -> None:
    model.graph.node[-1].domain = "evil"


def old_opset(model: ModelProto) -> None:
    model.opset_import[0].version = 7


def future_ir(model: ModelProto) -> None:
    model.ir_version = 99


def unlisted_operator(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("RandomNormal", [], ["unused"], shape=[1]))


def function(model: ModelProto) -> None:
    model.functions.append(
        helper.make_function(
            "own", "Twice", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], [helper.make_opsetid("", 20)]
        )
    )


def training(model: ModelProto) -> None:
    model.training_info.add()


def loop(model: ModelProto) -> None:
    body = helper.make_graph([helper.make_node("Identity", ["c"], ["d"])], "body", [], [])
    model.graph.node.append(helper.make_node("Identity", ["score"], ["unused"], body=body))


def hidden_in_subgraph(model: ModelProto) -> None:
    inner = helper.make_graph([helper.make_node("Loop", [], [])], "inner", [], [])
    model.graph.node.append(helper.make_node("Identity", ["score"], ["unused"], body=inner))


def other_input(model: ModelProto) -> None:
    model.graph.input[0].name = "place"


def more_inputs(model: ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("wind", TensorProto.FLOAT, ["rows"]))


def other_output_rank(model: ModelProto) -> None:
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["rows", 1]))


def fixed_rows(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def claims_much(model: ModelProto) -> None:
    model.graph.initializer.append(TensorProto(name="huge", data_type=TensorProto.FLOAT, dims=[100_000, 100_000]))


def claims_more_than_it_holds(model: ModelProto) -> None:
    model.graph.initializer.append(TensorProto(name="short", data_type=TensorProto.FLOAT, dims=[10], raw_data=b"1234"))


def negative_shape(model: ModelProto) -> None:
    model.graph.initializer.append(TensorProto(name="odd", data_type=TensorProto.FLOAT, dims=[-1]))


def exporter_path(model: ModelProto) -> None:
    model.graph.node[0].doc_string = "/home/somebody/train.py:12"


def note(model: ModelProto) -> None:
    model.metadata_props.add(key="exporter", value="somebody")


REFUSED: dict[Callable[[ModelProto], None], str] = {
    external: "external data",
    external_in_attribute: "external data",
    foreign_domain: "domains and versions",
    foreign_node_only: "operators",
    old_opset: "domains and versions",
    future_ir: "domains and versions",
    unlisted_operator: "operators",
    function: "functions",
    training: "functions",
    loop: "subgraphs",
    hidden_in_subgraph: "operators",
    other_input: "inputs and outputs",
    more_inputs: "inputs and outputs",
    other_output_rank: "inputs and outputs",
    fixed_rows: "inputs and outputs",
    claims_much: "tensor sizes",
    claims_more_than_it_holds: "tensor sizes",
    negative_shape: "tensor sizes",
    exporter_path: "metadata",
    note: "metadata",
}


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.__name__)
def test_what_is_not_allowed_is_refused_before_it_runs(
    change: Callable[[ModelProto], None], model: Bundle, parameters: Parameters
) -> None:
    changed = opened()
    change(changed)
    checks = ask(model, parameters, changed)
    assert REFUSED[change] in failed(checks)
    assert checks["dry run"].status == "not_run"  # and that refuses as well
    assert checks["dry run"].refused


def test_a_file_that_is_no_model_is_refused(model: Bundle, parameters: Parameters) -> None:
    for data in (b"\x80\x04\x95pickle", b"", bundles.graph()[:-40], b"PK\x03\x04"):
        checks = ask(model, parameters, data)
        assert failed(checks) & {"format", "onnx checker", "inputs and outputs", "tensor sizes"}, data[:10]


def test_a_file_that_is_too_large_is_not_even_read(model: Bundle, parameters: Parameters) -> None:
    checks = ask(model, parameters, b"x" * (BUDGET.maximum_bytes + 1))
    assert failed(checks) == {"size"}
    assert all(check.refused for name, check in checks.items() if name not in ("files",))


def test_a_graph_that_does_not_fit_together_is_refused_by_the_checker(model: Bundle, parameters: Parameters) -> None:
    broken = opened()
    broken.graph.node[0].input[0] = "nowhere"
    assert failed(ask(model, parameters, broken)) == {"onnx checker"}


def bomb(parameters: Parameters, *nodes: object, **constants: list[int]) -> ModelProto:
    """The tiny graph plus a few nodes that make something large out of little."""
    model = opened()
    for name, values in constants.items():
        model.graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
    last = model.graph.node[-1]
    last.input[0] = "bombed"
    model.graph.node.remove(last)
    model.graph.node.extend(
        [
            *nodes,
            helper.make_node("ReduceSum", ["large"], ["one"], keepdims=0),
            helper.make_node("Add", ["score", "one"], ["bombed"]),
            last,
        ]
    )
    return model


def test_a_few_bytes_that_ask_for_gigabytes_are_refused_by_their_shapes(model: Bundle, parameters: Parameters) -> None:
    straight = bomb(parameters, helper.make_node("ConstantOfShape", ["shape"], ["large"]), shape=[100_000, 100_000])
    computed = bomb(
        parameters,
        helper.make_node("Mul", ["k", "k"], ["kk"]),
        helper.make_node("ConstantOfShape", ["kk"], ["large"]),
        k=[100_000],
    )
    for model_of_few_bytes in (straight, computed):
        assert len(model_of_few_bytes.SerializeToString()) < 1500
        assert failed(ask(model, parameters, model_of_few_bytes)) == {"intermediate sizes"}


def test_a_size_that_follows_from_values_is_caught_by_the_dry_run(parameters: Parameters, tmp_path: Path) -> None:
    """The hour of a row, to the ninth power, as a shape: no shape inference can tell."""
    hidden = bomb(
        parameters,
        helper.make_node("ReduceSum", ["hour"], ["hours"], keepdims=0),
        helper.make_node("Pow", ["hours", "power"], ["many"]),
        helper.make_node("Reshape", ["many", "flat"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["large"]),
        power=[7],
        flat=[1],
    )
    contents = msgspec.structs.replace(bundles.tiny(), model=hidden.SerializeToString())
    before = time.monotonic()
    checks = ask(bundle.write(tmp_path, contents), parameters)
    assert failed(checks) == {"dry run"}
    assert "1024 MiB" in checks["dry run"].detail
    assert time.monotonic() - before < 20


def test_a_dry_run_that_does_not_end_is_ended(model: Bundle, parameters: Parameters) -> None:
    hasty = msgspec.structs.replace(parameters, model_guard=msgspec.structs.replace(parameters.model_guard, seconds=0))
    assert "within 0 s" in ask(model, hasty)["dry run"].detail


def test_a_foreign_or_executable_file_in_the_bundle_is_refused(parameters: Parameters, tmp_path: Path) -> None:
    written = bundles.write(tmp_path)
    (written.path / "model.onnx").chmod(0o755)
    assert failed(ask(written, parameters)) == {"files"}
    (written.path / "model.onnx").chmod(0o644)
    (written.path / "weights.bin").write_bytes(b"")
    assert failed(ask(written, parameters)) == {"files"}
