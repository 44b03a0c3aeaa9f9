"""One node per gate, then the report, then the stop where a gate refuses.

The model guard comes first: until it has let a file through, no gate loads it, and those that would have did not run.
"""

from pathlib import Path

from ibis import Table

from contracts import bundle as bundles
from contracts.budgets import Budgets
from contracts.bundle import Bundle
from contracts.errors import InputError
from contracts.report import Check, Figure, Report
from pipelines.schema import Schema
from pipelines.training.splits import Splits
from pipelines.validation import (
    champion,
    deepchecks_gate,
    drift,
    golden,
    input_schema,
    leakage,
    model_guard,
    parity,
    quality,
    verdict,
    window,
)
from pipelines.validation.champion import Running
from pipelines.validation.metric import Asked
from pipelines.validation.parameters import Parameters
from pipelines.validation.parity import Measured
from pipelines.validation.quality import Evaluation
from pipelines.validation.window import NotRun, Window

Checks = list[Check]
Figures = list[Figure]


def fetch_champion(parameters: Parameters) -> Running:
    """The bundle that runs now, verified, if one is named."""
    return Running(bundle=bundles.load(Path(parameters.champion)) if parameters.champion else None)


def check_model_guard(bundle: Bundle, budgets: Budgets, parameters: Parameters) -> Checks:
    """May the file be loaded at all?"""
    return model_guard.check_model_guard(bundle, budgets.model, parameters.model_guard)


def check_schema(
    bundle: Bundle, schema: Schema, splits: Splits, feature_table: Table, parameters: Parameters
) -> Checks:
    """Do bundle, schema and splits fit together?"""
    rows = int(feature_table.count().to_pyarrow().as_py())
    return input_schema.check_input_schema(
        bundle, schema, rows, splits, parameters.minimum_rows, parameters.missing_increase
    )


def check_leakage(schema: Schema, splits: Splits, parameters: Parameters, schema_checks: Checks) -> Checks:
    """Does the model see what it could not have seen?"""
    if refused := _refused(schema_checks):
        return window.not_run(leakage.GATE, ("splits",), refused)
    return leakage.check_leakage(schema, splits, parameters.leakage)


def predict(
    bundle: Bundle, running: Running, splits: Splits, parameters: Parameters, guard_checks: Checks
) -> Window | NotRun:
    """What both models say about the test window; NotRun when the guard refuses or the rows do not fit."""
    if refused := _refused(guard_checks):
        return NotRun(reason=refused)
    try:
        return window.predict_both(splits["test"], bundle, running.bundle, parameters.batch_rows)
    except InputError as error:
        return NotRun(reason=str(error))


def check_quality(
    predicted: Window | NotRun, bundle: Bundle, evaluation: Evaluation, budgets: Budgets, parameters: Parameters
) -> tuple[Checks, Figures]:
    """Is it good enough, and better than something simple?"""
    name = budgets.quality.metric
    trained, baseline = (quality.evaluated(evaluation, model, name) for model in (quality.TRAINED, evaluation.linear))
    return quality.check_quality(predicted, trained, baseline, _asked(bundle, budgets, parameters))


def check_champion(
    predicted: Window | NotRun, bundle: Bundle, running: Running, budgets: Budgets, parameters: Parameters
) -> tuple[Checks, Figures]:
    """Is it at least as good as what runs now?"""
    asked = _asked(bundle, budgets, parameters)
    return champion.check_champion(bundle, running.bundle, predicted, parameters.accepted_input_changes, asked)


def check_parity(bundle: Bundle, measured: Measured, splits: Splits, budgets: Budgets, guard_checks: Checks) -> Checks:
    """Do the trained network, the graph and the server's runtime agree?"""
    runtime = parity.check_runtime(bundle, splits["test"], budgets.model, _refused(guard_checks))
    return [parity.check_trained(bundle, measured, budgets.model), *runtime]


def check_golden(bundle: Bundle, guard_checks: Checks) -> Checks:
    """Does the bundle give the answers it was built with?"""
    return golden.check_golden(bundle, _refused(guard_checks))


def check_drift(
    bundle: Bundle, splits: Splits, predicted: Window | NotRun, budgets: Budgets, parameters: Parameters
) -> Checks:
    """How far has the world moved? Advice."""
    return drift.check_drift(bundle, splits["test"], predicted, budgets.drift, parameters.batch_rows)


def check_deepchecks(
    bundle: Bundle, schema: Schema, splits: Splits, parameters: Parameters, guard_checks: Checks
) -> Checks:
    """What does Deepchecks say?"""
    return deepchecks_gate.check_deepchecks(
        bundle, splits, schema.spine.key, parameters.deepchecks, _refused(guard_checks)
    )


def write_report(
    bundle: Bundle,
    running: Running,
    predicted: Window | NotRun,
    parameters: Parameters,
    *gates: Checks | Figures,
) -> Report:
    """One report of everything, whatever it says."""
    everything = [part for gate in gates for part in gate]
    checks = [part for part in everything if isinstance(part, Check)]
    figures = [part for part in everything if isinstance(part, Figure)]
    facts = {
        "bundle": bundle.digest,
        "champion": running.bundle.digest if running.bundle else "none",
        "trained on": f"{bundle.provenance.data_from} to {bundle.provenance.data_until}",
    }
    if isinstance(predicted, Window):
        facts["tested on"] = (
            f"{predicted.rows} rows of {len(predicted.days)} days, {predicted.days[0]} to {predicted.days[-1]}"
        )
    return verdict.report(bundle, checks, figures, facts | {"seed": str(parameters.seed)})


def stop_if_refused(gate_report: Report) -> None:
    """End the run, in one line, when a gate refuses; the report lies there by then."""
    verdict.require_passed(gate_report)


def _refused(checks: Checks) -> str | None:
    """Why a later gate may not run, if a check of an earlier one refuses."""
    refused = next((check for check in checks if check.refused), None)
    return None if refused is None else f"{refused.gate} refuses: {refused.name}"


def _asked(bundle: Bundle, budgets: Budgets, parameters: Parameters) -> Asked:
    return Asked(
        budget=budgets.quality,
        task=bundle.manifest.task,
        threshold=bundle.manifest.decision_threshold or 0.5,
        segment_rows=parameters.segment_rows,
        seed=parameters.seed,
    )
