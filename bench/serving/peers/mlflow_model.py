"""Saves an ONNX file as an MLflow model, for `mlflow models serve`.

usage: python mlflow_model.py MODEL.ONNX FOLDER
"""

import sys

import mlflow.onnx
import numpy as np
import onnx
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

NUMPY = {1: np.float32, 7: np.int64, 8: str, 9: np.bool_}  # by the numbers of onnx.TensorProto


def main(path: str, folder: str) -> None:
    """With the signature of the graph and one thread."""
    model = onnx.load(path)
    tensors = Schema([spec(node) for node in model.graph.input])
    mlflow.onnx.save_model(
        model,
        folder,
        signature=ModelSignature(inputs=tensors),
        onnx_session_options={"intra_op_num_threads": 1, "inter_op_num_threads": 1},
        save_as_external_data=False,
        pip_requirements=["mlflow", "onnx", "onnxruntime"],
    )


def spec(node: onnx.ValueInfoProto) -> TensorSpec:
    """An input of the graph, its first dimension being rows."""
    tensor = node.type.tensor_type
    sizes = [dimension.dim_value for dimension in tensor.shape.dim[1:]]
    return TensorSpec(np.dtype(NUMPY[tensor.elem_type]), (-1, *sizes), node.name)


if __name__ == "__main__":
    main(*sys.argv[1:])
