"""A usual server: FastAPI, pydantic and uvicorn, the Open Inference Protocol as one would write it in an afternoon.

usage: python fastapi_server.py MODEL.ONNX NAME PORT
"""

import sys
from typing import Any

import numpy as np
import onnxruntime as ort
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

NUMPY = {"FP32": np.float32, "INT64": np.int64, "BOOL": np.bool_, "BYTES": np.object_}


class Tensor(BaseModel):
    """An input of a request, or an output of an answer."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any]


class InferenceRequest(BaseModel):
    """The body of a request."""

    inputs: list[Tensor]
    id: str | None = None


class InferenceResponse(BaseModel):
    """The body of an answer."""

    model_name: str
    id: str | None = None
    outputs: list[Tensor]


def application(path: str, served: str) -> FastAPI:
    """One model under its name."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = [node.name for node in session.get_outputs()]
    app = FastAPI()

    @app.post("/v2/models/{name}/infer")
    async def infer(name: str, request: InferenceRequest) -> InferenceResponse:
        if name != served:
            raise HTTPException(404, "no such model")
        feeds = {
            tensor.name: np.array(tensor.data, NUMPY[tensor.datatype]).reshape(tensor.shape)
            for tensor in request.inputs
        }
        answers = session.run(outputs, feeds)
        tensors = [
            Tensor(name=output, datatype="FP32", shape=list(answer.shape), data=answer.ravel().tolist())
            for output, answer in zip(outputs, answers, strict=True)
        ]
        return InferenceResponse(model_name=served, id=request.id, outputs=tensors)

    return app


if __name__ == "__main__":
    model, model_name, port = sys.argv[1:]
    uvicorn.run(application(model, model_name), host="127.0.0.1", port=int(port), log_level="warning", access_log=False)
