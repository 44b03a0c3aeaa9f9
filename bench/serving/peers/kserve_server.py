"""KServe's SDK server with a custom predictor over onnxruntime; gRPC and latency logging are off.

usage: python kserve_server.py MODEL.ONNX NAME PORT
"""

import logging
import sys
from typing import Any

import numpy as np
import onnxruntime as ort

path, name, port = sys.argv[1:]
sys.argv[1:] = []  # KServe reads the command line when it is imported

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer  # noqa: E402


class OnnxModel(Model):
    """A predictor as KServe's documents show it."""

    def __init__(self, served: str) -> None:
        super().__init__(served)
        self.load()

    def load(self) -> bool:
        """Open the session; the server is ready after it."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.outputs = [node.name for node in self.session.get_outputs()]
        self.ready = True
        return self.ready

    async def predict(self, payload: InferRequest, headers: dict[str, str] | None = None) -> InferResponse:
        """Named tensors in, named tensors out."""
        answers = self.session.run(self.outputs, {tensor.name: array(tensor) for tensor in payload.inputs})
        outputs = []
        for output, answer in zip(self.outputs, answers, strict=True):
            tensor = InferOutput(name=output, shape=list(answer.shape), datatype="FP32")
            tensor.set_data_from_numpy(answer, binary_data=bool(payload.request_outputs))
            outputs.append(tensor)
        asked = payload.request_outputs  # each says whether it is wanted in binary
        # An id is a must here: without one KServe 0.21 answers 500.
        return InferResponse(payload.id or "none", name, outputs, requested_outputs=asked)


def array(tensor: Any) -> np.ndarray:
    """A tensor as onnxruntime takes it; strings as Python objects."""
    if tensor.datatype == "BYTES":
        return np.array(tensor.data, object)
    return tensor.as_numpy()


if __name__ == "__main__":
    logging.getLogger("uvicorn.access").disabled = True
    server = ModelServer(http_port=int(port), workers=1, enable_grpc=False, enable_latency_logging=False)
    logging.disable(logging.INFO)
    server.start([OnnxModel(name)])
