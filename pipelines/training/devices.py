"""Where the network is fitted, and what makes two fits the same to the last bit."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from contracts.errors import InputError


def choose(wanted: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`; raises InputError when CUDA is wanted and not there."""
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise InputError(
            "conf/base/parameters_training.yml: training.device: there is no CUDA device here; use auto or cpu"
        )
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Seeded, and only algorithms that give the same digits every time; puts everything back as it was."""
    # cuBLAS gives the same sums every time only with a workspace of fixed size, set before CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    mode, fill = torch.get_deterministic_debug_mode(), torch.utils.deterministic.fill_uninitialized_memory
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        # As use_deterministic_algorithms(True), without importing PyTorch's compiler, which takes seconds.
        torch.set_deterministic_debug_mode("error")
        torch.utils.deterministic.fill_uninitialized_memory = False  # nothing here reads what it did not write
        try:
            yield
        finally:
            torch.set_deterministic_debug_mode(mode)
            torch.utils.deterministic.fill_uninitialized_memory = fill
