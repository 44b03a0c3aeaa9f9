"""The training loop: AdamW, averaged weights, early stopping. Knows batches, nothing about where they come from."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pipelines.training.encoding import UNKNOWN, Encoded, Target
from pipelines.training.model import Epoch
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
        network: nn.Module,
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
        self.averaged = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(settings.averaging))
        self.optimiser = torch.optim.AdamW(_groups(self.network, settings.weight_decay), lr=settings.learning_rate)
        # A short warm-up, then a constant rate: the averaged weights do what a decay would, at any time of stopping.
        self.schedule = LambdaLR(self.optimiser, lambda step: min(1.0, (step + 1) / settings.warmup_steps))
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
                self.best = {
                    name: array.cpu().numpy().copy() for name, array in self.averaged.module.state_dict().items()
                }
            yield Epoch(epoch=number, train_loss=train_loss, validation_loss=validation_loss)
            if number - self.best_epoch >= self.settings.patience:
                return

    def _pass(self, epoch: int, after_batch: Callable[[int], None]) -> float:
        """One pass over the training rows; the mean loss."""
        total, seen = 0.0, 0
        self.network.train()
        for batch in self.train(epoch):
            codes = np.where(self.random.random(batch.codes.shape) < self.settings.unknown_share, UNKNOWN, batch.codes)
            scores = self.network(self._tensor(codes), self._tensor(batch.numbers))
            loss = self.loss(scores, self._labels(batch))
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.schedule.step()
            self.averaged.update_parameters(self.network)
            total, seen = total + loss.item() * batch.rows, seen + batch.rows
            after_batch(batch.rows)
        return total / seen

    def _validate(self) -> float:
        """The mean loss of the averaged weights on the validation split."""
        total, seen = 0.0, 0
        self.averaged.eval()
        with torch.no_grad():
            for batch in self.validation():
                scores = self.averaged(self._tensor(batch.codes), self._tensor(batch.numbers))
                total += self.loss(scores, self._labels(batch)).item() * batch.rows
                seen += batch.rows
        return total / seen

    def _labels(self, batch: Encoded) -> Tensor:
        if self.target.task == "regression":
            return self._tensor(((batch.labels - self.target.mean) / self.target.std).astype(np.float32))
        return self._tensor(batch.labels)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weights decay, biases do not."""
    parameters = list(network.parameters())
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
