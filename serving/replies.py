"""Answers of the Open Inference Protocol v2: predictions and metadata into bodies, as JSON or binary tensors."""

from typing import Any

import msgspec

from contracts.bundle import Manifest
from serving.application import Answer
from serving.exchange import Problem
from serving.parts import Part
from serving.protocol import DATATYPE, HEADER_LENGTH, InferenceRequest

PLATFORM = "onnx_onnxv1"
BINARY = b"application/octet-stream"


class Replies:
    """Writes answers of one model."""

    def __init__(self, manifest: Manifest, version: str, digest: str) -> None:
        self._known = [output.name for output in manifest.outputs]
        self.every = tuple((name, False) for name in self._known)
        quoted = msgspec.json.encode
        self._head = b'{"model_name":%s,"model_version":%s,"id":' % (quoted(manifest.name), quoted(version))
        self._middle = b',"parameters":%s,"outputs":[' % quoted({"bundle_digest": digest})
        self._tensors = {
            output.name: b'{"name":%s,"datatype":"FP32","shape":[' % quoted(output.name).replace(b"%", b"%%")
            + (b"%d]" if output.width == 1 else b"%%d,%d]" % output.width)
            for output in manifest.outputs
        }
        self._one_row = {name: tensor % 1 for name, tensor in self._tensors.items()}

    def chosen(self, request: InferenceRequest) -> tuple[tuple[str, bool], ...]:
        """The outputs to answer with and whether as binary: all where the client has no wish.

        Raises Problem for an unknown one.
        """
        binary = request.parameters is not None and request.parameters.binary_data_output
        if not request.outputs:
            return tuple((name, True) for name in self._known) if binary else self.every
        if len(request.outputs) == 1 and (only := request.outputs[0]).name in self._known:
            wish = only.parameters.binary_data if only.parameters else None
            return ((only.name, binary if wish is None else wish),)
        names = [output.name for output in request.outputs]
        for position, name in enumerate(names):
            if name not in self._known:
                place, known = f"outputs[{position}].name", ", ".join(self._known)
                raise Problem(400, "invalid_request", f"is no output of this model; it has {known}", field=place)
        if len(set(names)) < len(names):
            raise Problem(400, "invalid_request", "names an output twice; ask for each once", field="outputs")
        wishes = (output.parameters.binary_data if output.parameters else None for output in request.outputs)
        return tuple((name, binary if wish is None else wish) for name, wish in zip(names, wishes, strict=True))

    def encode(self, answers: Part, chosen: tuple[tuple[str, bool], ...], id: bytes) -> bytes | Answer:  # noqa: A002
        """The body of an answer; its JSON first and the binary tensors behind it, where any is wanted so.

        `id` is JSON.
        """
        if len(chosen) == 1 and not chosen[0][1]:  # what most want, in one step
            name, rows = chosen[0][0], answers.rows
            head = self._one_row[name] if rows == 1 else self._tensors[name] % rows
            return b"".join((self._head, id, self._middle, head, b',"data":[', answers.text(name), b"]}]}"))
        parts: list[bytes] = []
        data: list[bytes] = []
        for name, binary in chosen:
            head = self._tensors[name] % answers.rows
            if binary:
                raw = answers.raw(name)
                data.append(raw)
                parts.append(b'%s,"parameters":{"binary_data_size":%d}}' % (head, len(raw)))
            else:
                parts.append(b'%s,"data":[%s]}' % (head, answers.text(name)))
        text = b"%s%s%s%s]}" % (self._head, id, self._middle, b",".join(parts))
        if not data:
            return text
        return Answer(b"".join((text, *data)), BINARY, ((HEADER_LENGTH, b"%d" % len(text)),))


def metadata(manifest: Manifest, version: str, digest: str) -> bytes:
    """The model's metadata: its tensors, and as parameters what a client needs to read the outputs."""
    parameters: dict[str, Any] = {"bundle_digest": digest, "task": manifest.task, "target": manifest.target}
    if manifest.classes:
        parameters["classes"] = manifest.classes
    if manifest.decision_threshold is not None:
        parameters["decision_threshold"] = manifest.decision_threshold
    inputs = [
        {
            "name": column.name,
            "datatype": DATATYPE[column.dtype],
            "shape": [-1] if column.width == 1 else [-1, column.width],
            "parameters": {"nullable": column.nullable, "source": column.source, "description": column.description},
        }
        for column in manifest.inputs
    ]
    outputs = [
        {"name": output.name, "datatype": "FP32", "shape": [-1] if output.width == 1 else [-1, output.width]}
        for output in manifest.outputs
    ]
    return msgspec.json.encode(
        {
            "name": manifest.name,
            "versions": [version],
            "platform": PLATFORM,
            "inputs": inputs,
            "outputs": outputs,
            "parameters": parameters,
        }
    )
