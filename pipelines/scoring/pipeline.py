"""The scoring pipeline."""

from kedro.pipeline import Node, Pipeline

from pipelines.scoring import nodes


def create_pipeline() -> Pipeline:
    """Feature table and bundle to scores."""
    return Pipeline(
        [
            Node(
                nodes.score,
                ["feature_table", "bundle", "schema", "params:scoring", "params:training"],
                "scores",
                name="scoring.score",
                tags="scoring",
            )
        ]
    )
