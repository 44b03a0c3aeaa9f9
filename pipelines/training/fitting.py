"""The training loop: AdamW, averaged weights, early stopping. Knows batches, nothing about where they come from."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from pipelines.training.encoding import UNKNOWN, Encoded, Target
from pipelines.training.model import Epoch
from pipelines.training.network import Network
from pipelines.training.optimiser import AdamW, Average
from pipelines.training.parameters import Optimisation

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "binary": lambda scores, labels: functional.binary_cross_entropy_with_logits(scores.squeeze(1), labels),
    "multiclass": functional.cross_entropy,
    "regression": lambda scores, labels: functional.mse_loss(scores.squeeze(1), labels),
}


class Fit:
    """A network being fitted. `epochs()` runs until nothing gets better; `best` then holds the best weights seen."""

    def __init__(
        self,
        network: Network,
        target: Target,
        train: Callable[[int], Iterable[Encoded]],
        validation: Callable[[], Iterable[Encoded]],
        settings: Optimisation,
        device: str,
        seed: int,
    ) -> None:
        """`train(epoch)` gives the batches of an epoch, `validation()` those of the validation split."""
        self.network = network.to(device)
        self.random = np.random.default_rng(seed)  # which categories are hidden
        self.target, self.train, self.validation = target, train, validation
        self.settings, self.device = settings, device
        self.optimiser = AdamW(self.network, settings.weight_decay)
        self.average = Average(self.network, settings.averaging)
        self.loss = LOSSES[target.task]
        self.best: dict[str, np.ndarray] = {}
        self.best_epoch = 0

    def epochs(self, after_batch: Callable[[int], None] = lambda rows: None) -> Iterator[Epoch]:
        """Fit until `patience` epochs brought no better validation loss. `after_batch` hears how many rows it had."""
        best = np.inf
        for number in range(1, self.settings.maximum_epochs + 1):
            train_loss = self._pass(number, after_batch)
            validation_loss = self._validate()
            if validation_loss < best:
                best, self.best_epoch = validation_loss, number
                self.best = {name: weight.cpu().numpy().copy() for name, weight in self.average.weights.items()}
            yield Epoch(epoch=number, train_loss=train_loss, validation_loss=validation_loss)
            if number - self.best_epoch >= self.settings.patience:
                return

    def _pass(self, epoch: int, after_batch: Callable[[int], None]) -> float:
        """One pass over the training rows; the mean loss."""
        total, seen = 0.0, 0
        self.network.train()
        for batch in self.train(epoch):
            hidden = self.random.random(batch.codes.shape, np.float32) < self.settings.unknown_share
            codes = np.where(hidden, UNKNOWN, batch.codes)
            loss = self.loss(self.network(self._tensor(codes), self._tensor(batch.numbers)), self._labels(batch))
            self.optimiser.forget()
            loss.backward()
            self.optimiser.step(self._rate())
            self.average.update(self.network)
            total, seen = total + loss.item() * batch.rows, seen + batch.rows
            after_batch(batch.rows)
        return total / seen

    def _rate(self) -> float:
        """A short warm-up, then a constant rate: the average does what a decay would, wherever the fit stops."""
        return self.settings.learning_rate * min(1.0, (self.optimiser.steps + 1) / self.settings.warmup_steps)

    def _validate(self) -> float:
        """The mean loss of the averaged weights on the validation split."""
        total, seen = 0.0, 0
        self.network.eval()
        with torch.no_grad():
            for batch in self.validation():
                inputs = (self._tensor(batch.codes), self._tensor(batch.numbers))
                scores = functional_call(self.network, self.average.weights, inputs)
                total += self.loss(scores, self._labels(batch)).item() * batch.rows
                seen += batch.rows
        return total / seen

    def _labels(self, batch: Encoded) -> Tensor:
        if self.target.task == "regression":
            return self._tensor(((batch.labels - self.target.mean) / self.target.std).astype(np.float32))
        return self._tensor(batch.labels)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)
