"""A bar while the network is fitted, where somebody watches; one line of the log per epoch everywhere."""

import logging
from collections.abc import Callable, Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pipelines.training import tracking
from pipelines.training.model import Epoch

logger = logging.getLogger(__name__)


def follow(epochs: Callable[[Callable[[int], None]], Iterable[Epoch]], rows: int, most: int) -> Iterator[Epoch]:
    """Pass the epochs on, and show and log them. `epochs` takes the function that hears how many rows are done."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    # Not on a pipe or in CI: a bar in a log file is noise.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("epoch 1", total=rows * most)
        for epoch in epochs(lambda done: bar.advance(task, done)):
            figures = {"train_loss": epoch.train_loss, "validation_loss": epoch.validation_loss}
            tracking.log_metrics(figures, step=epoch.epoch)
            logger.info("epoch %2d: loss %.4f, validation %.4f", epoch.epoch, *figures.values())
            bar.update(task, description=f"epoch {epoch.epoch + 1}, validation loss {epoch.validation_loss:.4f}")
            yield epoch
