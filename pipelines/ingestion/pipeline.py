"""sources → tables, quarantine, ingestion_report."""

from kedro.pipeline import Node, Pipeline

from pipelines.ingestion import nodes


def create_pipeline() -> Pipeline:
    """Check first, with a report and the refused rows; keep what is sound only if the report lets it through."""
    return Pipeline(
        [
            Node(
                nodes.check,
                inputs=["sources", "schema", "budgets"],
                outputs=["checked_sources", "quarantine", "ingestion_report"],
                name="ingestion.check",
            ),
            Node(nodes.keep, inputs=["checked_sources", "ingestion_report"], outputs="tables", name="ingestion.keep"),
        ],
        tags="ingestion",
    )
