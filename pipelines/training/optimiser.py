"""AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019), and averaged weights.

The same numbers as torch.optim.AdamW, which imports PyTorch's compiler when it is made: seconds of every run, for
nothing here.
"""

import torch
from torch import Tensor, nn


class AdamW:
    """Steps over the parameters of `network`; weights decay, biases do not."""

    def __init__(
        self, network: nn.Module, weight_decay: float, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8
    ) -> None:
        self.parameters = list(network.parameters())
        self.decays = [weight_decay if parameter.ndim > 1 else 0.0 for parameter in self.parameters]
        self.betas, self.epsilon = betas, epsilon
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.steps = 0

    def forget(self) -> None:
        """Drop the gradients of the last batch."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move along the gradients that the last `backward` left, with learning rate `rate`."""
        self.steps += 1
        first, second = self.betas
        corrected, size = 1 - second**self.steps, rate / (1 - first**self.steps)
        for parameter, decay, mean, square in zip(self.parameters, self.decays, self.means, self.squares, strict=True):
            gradient = parameter.grad
            if gradient is None:
                continue
            parameter.mul_(1 - rate * decay)
            mean.lerp_(gradient, 1 - first)
            square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
            parameter.addcdiv_(mean, (square / corrected).sqrt_().add_(self.epsilon), value=-size)


class Average:
    """An exponential average of a network's weights; less noisy than the last step, at any time."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights: dict[str, Tensor] = {name: weight.clone() for name, weight in network.state_dict().items()}
        self.steps = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the present weights in. Early steps count more, so that the start is forgotten."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 9))
        for name, weight in network.state_dict().items():
            if weight.is_floating_point():
                self.weights[name].lerp_(weight, 1 - decay)
