"""The trained model: its encoding, its weights, its calibration, and how it was fitted."""

from collections.abc import Iterator

import msgspec
import numpy as np
import torch
from msgspec import Struct
from pyarrow import dataset as ds
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors
from torch import Tensor, nn

from pipelines.training import batches
from pipelines.training.calibration import Calibration
from pipelines.training.encoding import Encoded, Encoding
from pipelines.training.network import Network

FORMAT = 1
PREDICTED_ROWS = 16_384  # at a time


class Epoch(Struct, frozen=True, kw_only=True):
    """One pass over the training rows: its mean loss, then that of the averaged weights on the validation rows."""

    epoch: int
    train_loss: float
    validation_loss: float


class Description(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`model.json`: everything about a model but its weights."""

    format: int = FORMAT
    inputs_hash: str
    encoding: Encoding
    hidden: tuple[int, ...]
    dropout: float
    embedding: int
    calibration: Calibration
    epochs: tuple[Epoch, ...]
    best_epoch: int
    device: str  # where it was fitted


class Model(Struct, frozen=True, kw_only=True):
    """A description and the weights, float32 arrays by their names in the network."""

    description: Description
    weights: dict[str, np.ndarray]

    @property
    def inputs_hash(self) -> str:
        return self.description.inputs_hash

    def module(self) -> "Answer":
        """The network with its calibration, on the CPU, ready to predict."""
        about = self.description
        network = Network(about.encoding, about.hidden, about.dropout, about.embedding)
        network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in self.weights.items()})
        return Answer(network, about.calibration, about.encoding).eval()

    def predict(self, split: ds.Dataset) -> Iterator[np.ndarray]:
        """Predictions for every row of a split in file order, in parts: float32 [n], or [n, classes]."""
        answer = self.module()
        for rows in batches.ordered(split, self.description.encoding, PREDICTED_ROWS):
            yield answer.of(rows)


class Answer(nn.Module):
    """Scores made into what is asked for: a probability [n], probabilities [n, classes], or a value [n]."""

    def __init__(self, network: Network, calibration: Calibration, encoding: Encoding) -> None:
        super().__init__()
        self.network = network
        self.task = encoding.target.task
        scale, shift = np.float64(calibration.scale), np.asarray(calibration.shift)
        if self.task == "regression":  # the network's scores are standardised
            scale, shift = scale * encoding.target.std, shift * encoding.target.std + encoding.target.mean
        self.register_buffer("scale", torch.tensor(np.float32(scale)))
        self.register_buffer("shift", torch.tensor(shift.astype(np.float32)))

    def forward(self, codes: Tensor, numbers: Tensor) -> Tensor:
        return self.finish(self.network(codes, numbers))

    def finish(self, scores: Tensor) -> Tensor:
        """Calibrate scores [n, width] and give them the shape and meaning of the output."""
        scores = scores * self.scale + self.shift
        if self.task == "multiclass":
            return torch.softmax(scores, 1)
        scores = scores.squeeze(1)
        return torch.sigmoid(scores) if self.task == "binary" else scores

    def of(self, rows: Encoded) -> np.ndarray:
        """The answer for encoded rows, as float32."""
        with torch.no_grad():
            return self(torch.from_numpy(rows.codes), torch.from_numpy(rows.numbers)).numpy()


def encode(model: Model) -> tuple[bytes, bytes]:
    """The description as JSON and the weights as safetensors; the same model gives the same bytes."""
    description = msgspec.json.format(msgspec.json.encode(model.description, order="deterministic"), indent=1) + b"\n"
    return description, write_tensors(model.weights)


def decode(description: bytes, weights: bytes) -> Model:
    """What `encode` wrote. Raises msgspec.MsgspecError or safetensors' error when it is something else."""
    return Model(description=msgspec.json.decode(description, type=Description), weights=read_tensors(weights))
