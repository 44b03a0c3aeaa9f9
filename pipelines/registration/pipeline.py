"""The registration pipeline."""

from kedro.pipeline import Node, Pipeline

from pipelines.registration import nodes


def create_pipeline() -> Pipeline:
    """Bundle and gate report to a registered version."""
    return Pipeline(
        [
            Node(
                nodes.require_passed,
                ["bundle", "gate_report", "params:registration"],
                "verdict_of_gates",
                name="registration.require_passed",
                tags="registration",
            ),
            Node(
                nodes.register,
                ["bundle", "verdict_of_gates", "params:registration"],
                "registered_version",
                name="registration.register",
                tags="registration",
            ),
        ]
    )
