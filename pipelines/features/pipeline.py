"""tables → feature_table."""

from kedro.pipeline import Node, Pipeline

from pipelines.features import nodes


def create_pipeline() -> Pipeline:
    """One node: the feature table is worked out part by part inside of it."""
    return Pipeline(
        [
            Node(
                nodes.build,
                inputs=["tables", "schema", "params:features"],
                outputs="feature_table",
                name="features.build",
            )
        ],
        tags="features",
    )
