"""The training pipeline."""

from kedro.pipeline import Node, Pipeline

from pipelines.training import nodes


def create_pipeline() -> Pipeline:
    """identify → split → fit → evaluate."""
    return Pipeline(
        [
            Node(
                nodes.identify,
                inputs={
                    "feature_table": "feature_table",
                    "schema": "schema",
                    "budgets": "budgets",
                    "source_code": "source_code",
                    "requirements": "requirements",
                    "parameters": "params:training",
                    "packaging": "params:packaging",
                },
                outputs="training_identity",
                name="training.identify",
                tags="training",
            ),
            Node(
                nodes.split,
                inputs=["feature_table", "training_identity", "schema", "params:training"],
                outputs="splits",
                name="training.split",
                tags="training",
            ),
            Node(
                nodes.fit,
                inputs=["splits", "training_identity", "known_models", "schema", "params:training"],
                outputs="model",
                name="training.fit",
                tags="training",
            ),
            Node(
                nodes.evaluate,
                inputs=["splits", "model", "training_identity", "known_evaluations", "budgets", "params:training"],
                outputs="evaluation",
                name="training.evaluate",
                tags="training",
            ),
        ]
    )
