"""The packaging pipeline."""

from kedro.pipeline import Node, Pipeline

from pipelines.packaging import nodes


def create_pipeline() -> Pipeline:
    """assemble → compare."""
    return Pipeline(
        [
            Node(
                nodes.assemble,
                inputs={
                    "model": "model",
                    "splits": "splits",
                    "evaluation": "evaluation",
                    "training_identity": "training_identity",
                    "known_bundles": "known_bundles",
                    "schema": "schema",
                    "repository": "repository",
                    "parameters": "params:packaging",
                },
                outputs="bundle",
                name="packaging.assemble",
                tags="packaging",
            ),
            Node(
                nodes.compare,
                inputs=["bundle", "model", "splits", "training_identity", "known_parity"],
                outputs="parity",
                name="packaging.compare",
                tags="packaging",
            ),
        ]
    )
