"""The network: embeddings for categories, piecewise-linear bins for numbers, a multilayer perceptron over both.

Everything that a raw number needs (imputation, missing indicator, clipping, scaling) is part of the module, so the
exported graph has it too. Piecewise-linear encoding: Gorishniy et al., "On Embeddings for Numerical Features in
Tabular Deep Learning", 2022.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.training.encoding import Encoded, Encoding, Number


class Network(nn.Module):
    """Scores for encoded rows: codes int64 [n, categories] and numbers float32 [n, numbers] give float32 [n, width]."""

    def __init__(self, encoding: Encoding, hidden: tuple[int, ...], dropout: float, embedding: int) -> None:
        super().__init__()
        sizes = [category.size for category in encoding.categories]
        # The rule of thumb of fast.ai for embedding widths, 1.6 n^0.56, with a ceiling.
        widths = [min(embedding, max(2, round(1.6 * size**0.56))) for size in sizes]
        self.embeddings = nn.ModuleList(nn.Embedding(size, width) for size, width in zip(sizes, widths, strict=True))
        self.numbers = Numbers(encoding.numbers) if encoding.numbers else None
        width = sum(widths) + (self.numbers.width if self.numbers else 0)
        layers: list[nn.Module] = []
        for size in hidden:
            layers += [nn.Linear(width, size), nn.ReLU(), nn.Dropout(dropout)]
            width = size
        self.body = nn.Sequential(*layers, nn.Linear(width, encoding.target.width))
        for table in self.embeddings:
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, codes: Tensor, numbers: Tensor) -> Tensor:
        return self.combine(list(codes.unbind(1)), numbers)

    def combine(self, codes: list[Tensor], numbers: Tensor) -> Tensor:
        """The same for codes as one int64 [n] per category, as the exported graph has them."""
        parts = [table(column) for table, column in zip(self.embeddings, codes, strict=True)]
        if self.numbers is not None:
            parts.append(self.numbers(numbers))
        return self.body(torch.cat(parts, 1))

    def scores(self, rows: Encoded) -> np.ndarray:
        """The scores of encoded rows, float32 [n, width]."""
        with torch.no_grad():
            return self(torch.from_numpy(rows.codes), torch.from_numpy(rows.numbers)).numpy()


class Numbers(nn.Module):
    """Float32 [n, numbers] with NaN for missing, as [n, width]: standardised values, bins, missing indicators."""

    def __init__(self, numbers: tuple[Number, ...]) -> None:
        super().__init__()
        bins = [(row, left, right) for row, number in enumerate(numbers) for left, right in pairwise(number.edges)]
        self.width = 2 * len(numbers) + len(bins)
        self._constant("fill", [number.fill for number in numbers])
        self._constant("low", [number.low for number in numbers])
        self._constant("high", [number.high for number in numbers])
        self._constant("mean", [number.mean for number in numbers])
        self._constant("scale", [1 / number.std for number in numbers])
        self._constant("left", [left for _, left, _ in bins])
        self._constant("slope", [1 / (right - left) for _, left, right in bins])
        self.register_buffer("column", torch.tensor([row for row, _, _ in bins], dtype=torch.int64))

    def _constant(self, name: str, values: object) -> None:
        self.register_buffer(name, torch.tensor(np.asarray(values, np.float32)))

    def forward(self, numbers: Tensor) -> Tensor:
        missing = torch.isnan(numbers)
        known = torch.minimum(torch.maximum(torch.where(missing, self.fill, numbers), self.low), self.high)
        bins = ((known[:, self.column] - self.left) * self.slope).clamp(0, 1)
        return torch.cat([(known - self.mean) * self.scale, bins, missing.to(known.dtype)], 1)
