"""A custom runtime for MLServer over onnxruntime, as its documents show it."""

import numpy as np
import onnxruntime as ort
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput


class OnnxModel(MLModel):
    """Named tensors in, named tensors out."""

    async def load(self) -> bool:
        """Open the session; the server is ready after it."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = self.settings.parameters.uri
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.answered = [node.name for node in self.session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Decode, run, encode, with MLServer's own codec."""
        answers = self.session.run(self.answered, {tensor.name: array(tensor) for tensor in payload.inputs})
        outputs = [NumpyCodec.encode_output(name, answer) for name, answer in zip(self.answered, answers, strict=True)]
        return InferenceResponse(model_name=self.name, model_version=self.version, id=payload.id, outputs=outputs)


def array(tensor: RequestInput) -> np.ndarray:
    """A tensor as onnxruntime takes it; strings as Python objects."""
    if tensor.datatype == "BYTES":
        return np.array(list(tensor.data), object)
    return NumpyCodec.decode_input(tensor)
