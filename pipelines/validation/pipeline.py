"""The validation pipeline."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from pipelines.validation import nodes

GATES = ("guard", "schema", "leakage", "quality", "champion", "parity", "golden", "drift", "deepchecks")
WITH_FIGURES = ("quality", "champion")
REPORTED = [f"{gate}_checks" for gate in GATES] + [f"{gate}_figures" for gate in WITH_FIGURES]


def create_pipeline() -> Pipeline:
    """Bundle, splits and evaluation to the gate report; the last node ends the run when a gate refuses."""
    asked = ["test_predictions", "bundle"]
    read = ["bundle", "schema", "splits"]
    measured = ["budgets", "params:validation"]
    return Pipeline(
        [
            _node(nodes.fetch_champion, "params:validation", "champion"),
            _node(nodes.check_model_guard, ["bundle", *measured], "guard_checks"),
            _node(nodes.check_schema, [*read, "feature_table", "params:validation"], "schema_checks"),
            _node(nodes.check_leakage, ["schema", "splits", "params:validation", "schema_checks"], "leakage_checks"),
            _node(
                nodes.predict, ["bundle", "champion", "splits", "params:validation", "guard_checks"], "test_predictions"
            ),
            _node(nodes.check_quality, [*asked, "evaluation", *measured], ["quality_checks", "quality_figures"]),
            _node(nodes.check_champion, [*asked, "champion", *measured], ["champion_checks", "champion_figures"]),
            _node(nodes.check_parity, ["bundle", "parity", "splits", "budgets", "guard_checks"], "parity_checks"),
            _node(nodes.check_golden, ["bundle", "guard_checks"], "golden_checks"),
            _node(nodes.check_drift, ["bundle", "splits", "test_predictions", *measured], "drift_checks"),
            _node(nodes.check_deepchecks, [*read, "params:validation", "guard_checks"], "deepchecks_checks"),
            _node(
                nodes.write_report,
                ["bundle", "champion", "test_predictions", "params:validation", *REPORTED],
                "gate_report",
            ),
            _node(nodes.stop_if_refused, "gate_report", None),
        ]
    )


def _node(function: Callable[..., Any], inputs: str | list[str], outputs: str | list[str] | None) -> Node:
    return Node(function, inputs, outputs, name=f"validation.{function.__name__}", tags="validation")
