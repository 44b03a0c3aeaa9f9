"""What happens around a run and its nodes: parameters become typed, and each node says how long it took."""

import logging
import time
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline.node import Node

from pipelines import parameters

logger = logging.getLogger(__name__)


class TypedParameters:
    """Checks every parameter before anything runs, and gives nodes the struct of their pipeline as `params:<name>`."""

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog) -> None:
        for name, values in parameters.typed(catalog.load("parameters")).items():
            # Not catalog[key] = values: that warns about what is meant here.
            dataset = catalog.get(f"params:{name}")
            if dataset is None:
                catalog[f"params:{name}"] = MemoryDataset(values, copy_mode="assign")
            else:
                dataset.save(values)


class Progress:
    """One line per node, with what it took, the saving of its outputs included."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._unsaved: dict[str, int] = {}

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        self._started[node.name] = time.monotonic()
        self._unsaved[node.name] = len(node.outputs)

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        if not node.outputs:
            self._done(node)

    @hook_impl
    def after_dataset_saved(self, node: Node) -> None:
        self._unsaved[node.name] -= 1
        if not self._unsaved[node.name]:
            self._done(node)

    def _done(self, node: Node) -> None:
        logger.info("%-28s %6.1f s", node.name, time.monotonic() - self._started[node.name])

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any]) -> None:
        logger.info("done: %s", ", ".join(run_params["pipeline_names"] or ["the whole pipeline"]))
