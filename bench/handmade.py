"""Small bundles whose graphs are written by hand, the same bytes on every run: what benchmarks and tests serve.

No training and no torch, only `onnx`; golden answers are onnxruntime's, the server's own code has no part in them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, NodeProto, TensorProto, checker, helper

from contracts.bundle import Contents, Golden, Input, Manifest, Output, Provenance, ReferenceProfile

TENSORS = {
    "string": TensorProto.STRING,
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}
NO_PROFILE = ReferenceProfile(rows=0, inputs={}, predictions={})


def graph(
    name: str,
    columns: Sequence[Input],
    outputs: Sequence[Output],
    nodes: Sequence[NodeProto],
    initializers: Sequence[TensorProto],
) -> ModelProto:
    """An ONNX model that takes and gives what a manifest says."""
    takes, gives = (
        [
            helper.make_tensor_value_info(
                column.name, TENSORS[column.dtype], ["rows"] if column.width == 1 else ["rows", column.width]
            )
            for column in side
        ]
        for side in (columns, outputs)
    )
    model = helper.make_model(
        helper.make_graph(nodes, name, takes, gives, initializers),
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 4)],
        ir_version=10,
    )
    checker.check_model(model)
    return model


def contents(
    model: bytes,
    manifest: Manifest,
    rows: Mapping[str, list],
    *,
    version: str = "1",
    profile: ReferenceProfile = NO_PROFILE,
    tolerance: tuple[float, float] = (1e-5, 1e-4),
) -> Contents:
    """What a bundle is written from. `rows` are its golden ones; `tolerance` of their answers: absolute, relative."""
    answered = answers(session(model), manifest, rows)
    absolute, relative = tolerance
    return Contents(
        model=model,
        manifest=manifest,
        golden=Golden(
            inputs=dict(rows),
            outputs={name: values.tolist() for name, values in answered.items()},
            absolute_tolerance=absolute,
            relative_tolerance=relative,
        ),
        profile=profile,
        provenance=provenance(version),
        model_card=f"# {manifest.name}\n\nWritten by hand, for benchmarks and tests.\n",
    )


def provenance(version: str = "1") -> Provenance:
    """Of a model that nobody trained."""
    return Provenance(
        version=version,
        created_at="2026-01-02T03:04:05Z",
        git_sha="0" * 40,
        git_dirty=False,
        inputs_hash="1" * 64,
        data_hash="2" * 64,
        parameters_hash="3" * 64,
        code_hash="4" * 64,
        requirements_hash="5" * 64,
        seed=1,
        data_from="2025-01-01",
        data_until="2025-07-01",
    )


def session(model: bytes) -> ort.InferenceSession:
    """onnxruntime, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def answers(model: ort.InferenceSession, manifest: Manifest, rows: Mapping[str, list]) -> dict[str, np.ndarray]:
    """Its outputs by name for raw columns, of one row at least; None is a missing value."""
    feeds = {column.name: _array(column, rows[column.name]) for column in manifest.inputs}
    names = [output.name for output in manifest.outputs]
    return dict(zip(names, model.run(names, feeds), strict=True))


def _array(column: Input, values: list[Any]) -> np.ndarray:
    if column.dtype == "string":
        return np.array([value or "" for value in values], object)
    if column.dtype == "float32" and column.width == 1:
        return np.array([np.nan if value is None else value for value in values], np.float32)
    array = np.array(values, column.dtype)
    return array.reshape(-1, column.width) if column.width > 1 else array
