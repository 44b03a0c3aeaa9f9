"""What training tells MLflow, if a run is open; without one, nothing."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec


def log_metrics(metrics: Mapping[str, float], step: int | None = None) -> None:
    """Log figures to the open run."""
    if mlflow := _open():
        mlflow.log_metrics(dict(metrics), step=step)


def log_parameters(parameters: msgspec.Struct) -> None:
    """Log every single value of a struct, by its dotted name."""
    if mlflow := _open():
        mlflow.log_params(dict(_flat(msgspec.to_builtins(parameters))))


def tag(**tags: str) -> None:
    """Set tags of the open run."""
    if mlflow := _open():
        mlflow.set_tags(tags)


def run_id() -> str | None:
    """The open run's identifier."""
    return mlflow.active_run().info.run_id if (mlflow := _open()) else None


def _open() -> Any:
    """MLflow if a run is open. Where nobody imported it (it takes seconds) there is none."""
    mlflow = sys.modules.get("mlflow")
    return mlflow if mlflow is not None and mlflow.active_run() else None


def _flat(document: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{place}{key}.")
        else:
            yield place + key, value
