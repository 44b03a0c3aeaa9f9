"""Model guard: may this file be loaded at all? The `onnx` package reads it, from bytes, before onnxruntime sees it.

The file is data from elsewhere (a registry, a colleague, a copy): a list of what is allowed holds where a list of what
is bad does not. External data, for one, made the loaders of three versions read or write foreign files.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from math import prod
from pathlib import Path

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, checker, shape_inference

from contracts.budgets import Model as ModelBudget
from contracts.bundle import BESIDE, DIGESTED, SIGNATURE, Bundle, Manifest
from contracts.report import Check, Status
from pipelines.validation import dry_run
from pipelines.validation.parameters import ModelGuard

GATE = "model guard"
DOMAINS = {"": "", "ai.onnx": "", "ai.onnx.ml": "ai.onnx.ml"}
TENSOR_TYPES = {
    "string": TensorProto.STRING,
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}
Problem = str | None  # what is wrong, or nothing


def check_model_guard(bundle: Bundle, budget: ModelBudget, parameters: ModelGuard) -> list[Check]:
    """Every check of the guard, all blocking: cheap and safe ones first, later ones only on what those let through."""
    size = len(bundle.model)
    checks = [
        _check("files", _foreign_files(bundle.path)),
        _check(
            "size", None if size <= budget.maximum_bytes else "the model file is too large", size, budget.maximum_bytes
        ),
    ]
    if size > budget.maximum_bytes:
        return checks + _not_run(("format", *STATIC, *DEEP), "the file is too large to be read")
    try:
        model = onnx.load_model_from_string(bundle.model)
        checks.append(_check("format", None if len(model.graph.node) else "the graph is empty"))
    except Exception as error:  # noqa: BLE001 - protobuf and onnx share no narrower class, and any reason refuses
        checks.append(_check("format", f"is not an ONNX model: {_line(error)}"))
        return checks + _not_run((*STATIC, *DEEP), "the file is not an ONNX model")
    checks += [_check(name, ask(model, bundle.manifest, budget, parameters)) for name, ask in STATIC.items()]
    if any(check.refused for check in checks):
        return checks + _not_run(DEEP, "a check above refuses the file")
    for name, look in DEEP.items():  # in this order: each trusts what the one before found
        if checks[-1].refused:
            checks += _not_run((name,), "a check above refuses the file")
        else:
            checks.append(look(bundle, model, parameters))
    return checks


def _foreign_files(path: Path) -> Problem:
    allowed = {*DIGESTED, *BESIDE, SIGNATURE}
    for entry in sorted(path.iterdir()):
        if entry.name not in allowed:
            return f"{entry.name} does not belong in a bundle"
        if entry.is_symlink() or not entry.is_file():
            return f"{entry.name} is not a regular file"
        if entry.stat().st_mode & 0o111:
            return f"{entry.name} is executable"
    return None


def _external_data(model: ModelProto, *_: object) -> Problem:
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            return f"tensor {tensor.name!r} keeps its data in another file"
    return None


def _domains(model: ModelProto, _: Manifest, __: ModelBudget, parameters: ModelGuard) -> Problem:
    ranges = {"": parameters.opset, "ai.onnx.ml": parameters.ml_opset}
    for opset in model.opset_import:
        if opset.domain not in DOMAINS:
            return f"operator domain {opset.domain!r} is not ONNX's own"
        lowest, highest = ranges[DOMAINS[opset.domain]]
        if not lowest <= opset.version <= highest:
            return f"opset {opset.version} of {opset.domain or 'ai.onnx'} is outside {lowest} to {highest}"
    lowest, highest = parameters.ir
    return (
        None
        if lowest <= model.ir_version <= highest
        else f"IR version {model.ir_version} is outside {lowest} to {highest}"
    )


def _operators(model: ModelProto, _: Manifest, budget: ModelBudget, __: ModelGuard) -> Problem:
    for node in _nodes(model):
        if node.domain not in DOMAINS:
            return f"node {node.name!r} is of domain {node.domain!r}"
        if node.op_type not in budget.operators:
            return f"operator {node.op_type} is not allowed; if it should be, add it to model.operators in the budgets"
    return None


def _functions(model: ModelProto, *_: object) -> Problem:
    if model.functions:
        return f"the model defines a function of its own: {model.functions[0].name!r}"
    return "the model holds training information" if model.training_info else None


def _subgraphs(model: ModelProto, *_: object) -> Problem:
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
                return f"{node.op_type} {node.name!r} holds a graph of its own: a loop or a branch"
    return None


def _signature(model: ModelProto, manifest: Manifest, *_: object) -> Problem:
    initialized = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: _shape(value) for value in model.graph.input if value.name not in initialized}
    outputs = {value.name: _shape(value) for value in model.graph.output}
    expected = {column.name: (TENSOR_TYPES[column.dtype], (None,)) for column in manifest.inputs}
    answers = {
        output.name: (TensorProto.FLOAT, (None,) if output.width == 1 else (None, output.width))
        for output in manifest.outputs
    }
    for kind, found, wanted in (("input", inputs, expected), ("output", outputs, answers)):
        for name in sorted(found.keys() | wanted.keys()):
            if found.get(name) != wanted.get(name):
                return (
                    f"{kind} {name}: the graph says {_signed(found.get(name))}, bundle.json {_signed(wanted.get(name))}"
                )
    return None


def _initializers(model: ModelProto, _: Manifest, budget: ModelBudget, __: ModelGuard) -> Problem:
    total = 0
    for tensor in _tensors(model):
        elements = prod(tensor.dims)
        if min(tensor.dims, default=0) < 0 or elements > budget.maximum_bytes:
            return f"tensor {tensor.name!r} claims the shape {list(tensor.dims)}"
        width = 1 if tensor.data_type in (TensorProto.STRING, TensorProto.UNDEFINED) else _width(tensor.data_type)
        if tensor.raw_data and len(tensor.raw_data) != elements * width:
            return f"tensor {tensor.name!r} claims {elements * width} bytes and holds {len(tensor.raw_data)}"
        total += elements * width
    if total > budget.maximum_bytes:
        return f"the tensors claim {total} bytes together"
    return None


def _metadata(model: ModelProto, *_: object) -> Problem:
    """Exporters write paths and line numbers there: the digest would depend on where the model was built."""
    if model.metadata_props or model.doc_string or model.graph.doc_string or model.graph.metadata_props:
        return "the model carries the exporter's notes"
    for node in _nodes(model):
        if node.doc_string or node.metadata_props:
            return f"node {node.name!r} carries the exporter's notes"
    return None


STATIC: dict[str, Callable[[ModelProto, Manifest, ModelBudget, ModelGuard], Problem]] = {
    "external data": _external_data,
    "domains and versions": _domains,
    "operators": _operators,
    "functions": _functions,
    "subgraphs": _subgraphs,
    "inputs and outputs": _signature,
    "tensor sizes": _initializers,
    "metadata": _metadata,
}


def _onnx_checker(bundle: Bundle, _: ModelProto, __: ModelGuard) -> Check:
    try:
        checker.check_model(bundle.model, full_check=True)  # bytes, not a path: a path would follow external data
    except Exception as error:  # noqa: BLE001 - the checker raises its own and protobuf's errors; any reason refuses
        return _check("onnx checker", _line(error))
    return _check("onnx checker", None)


def _intermediate_sizes(_: Bundle, model: ModelProto, parameters: ModelGuard) -> Check:
    """A file of 66 bytes can ask for 40 GB (ConstantOfShape, Expand): shapes are inferred, with constants followed."""
    inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    largest, name = 0, ""
    for value in chain(inferred.graph.value_info, inferred.graph.output):
        elements = prod(max(dim.dim_value, 1) for dim in value.type.tensor_type.shape.dim)
        if elements > largest:
            largest, name = elements, value.name
    problem = (
        None if largest <= parameters.elements_per_row else f"tensor {name!r} grows to {largest} elements for one row"
    )
    return _check("intermediate sizes", problem, largest, parameters.elements_per_row)


def _dry_run(bundle: Bundle, _: ModelProto, parameters: ModelGuard) -> Check:
    outcome = dry_run.run(bundle, parameters.memory_megabytes, parameters.seconds)
    return _check("dry run", outcome.problem, outcome.megabytes, parameters.memory_megabytes)


DEEP: dict[str, Callable[[Bundle, ModelProto, ModelGuard], Check]] = {
    "onnx checker": _onnx_checker,
    "intermediate sizes": _intermediate_sizes,
    "dry run": _dry_run,
}


def _check(name: str, problem: Problem, value: float | None = None, threshold: float | None = None) -> Check:
    status: Status = "fail" if problem else "pass"
    return Check(gate=GATE, name=name, status=status, value=value, threshold=threshold, detail=problem or "")


def _not_run(names: Iterable[str], reason: str) -> list[Check]:
    return [Check(gate=GATE, name=name, status="not_run", detail=reason) for name in names]


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    """Every node, those of subgraphs and functions too."""
    pending: list[NodeProto] = [*model.graph.node, *chain.from_iterable(function.node for function in model.functions)]
    while pending:
        node = pending.pop(0)
        yield node
        for graph in _graphs(node):
            pending.extend(graph.node)


def _graphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor that the file carries: initializers and attributes, dense and sparse, of subgraphs too."""
    graphs = [model.graph, *chain.from_iterable(_graphs(node) for node in _nodes(model))]
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _shape(value: onnx.ValueInfoProto) -> tuple[int, tuple[int | None, ...]] | None:
    """Element type and shape, None for a dimension that is free; nothing for what is not a tensor of known rank."""
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        return None
    dimensions = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)
    return tensor.elem_type, dimensions


def _signed(shape: tuple[int, tuple[int | None, ...]] | None) -> str:
    if shape is None:
        return "nothing"
    names = {number: name for name, number in TENSOR_TYPES.items()}
    dimensions = ", ".join("rows" if size is None else str(size) for size in shape[1])
    return f"{names.get(shape[0], TensorProto.DataType.Name(shape[0]))}[{dimensions}]"


def _width(kind: int) -> int:
    return onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
