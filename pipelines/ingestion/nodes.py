"""Check the sources against the contract, set aside what breaks it, stop when that is too much."""

import logging

import ibis

from contracts import report
from contracts.budgets import Budgets
from contracts.errors import InputError
from contracts.report import Check, Report
from pipelines import expressions
from pipelines.ingestion import contract
from pipelines.ingestion.contract import Checked
from pipelines.schema import Schema

logger = logging.getLogger(__name__)
Checks = dict[str, Checked]


def check(
    sources: dict[str, ibis.Table], schema: Schema, budgets: Budgets
) -> tuple[Checks, dict[str, ibis.Table], Report]:
    """Hold every source table against `schema.yml`: the checked tables, the refused rows by table, and the report.

    Raises InputError when a table or a column is missing, or a table has no row.
    """
    if missing := [name for name in schema.tables if name not in sources]:
        raise InputError(f"sources: {missing[0]}: schema.yml wants this table; name its file in conf/base/catalog.yml")
    checked = {name: contract.check(name, sources[name], table) for name, table in schema.tables.items()}
    quarantine = {name: table.refused for name, table in checked.items() if table.reasons}
    return checked, quarantine, _report(checked, schema, budgets.data.quarantine_share)


def keep(checked: Checks, ingestion_report: Report) -> dict[str, ibis.Table]:
    """The tables that keep the contract; raises InputError when more was refused than the budget allows."""
    if ingestion_report.refusals:
        first = ingestion_report.refusals[0]
        raise InputError(
            f"{first.name}: {first.value:.2%} of its rows break the contract, {first.threshold:.2%} are allowed "
            f"(budgets.yml: data.quarantine_share): {first.detail}; see data/reports/ingestion.md and data/quarantine"
        )
    return {name: table.kept for name, table in checked.items()}


def _report(checked: Checks, schema: Schema, allowed: float) -> Report:
    checks = [
        Check(
            gate="contract",
            name=name,
            status="pass" if table.refusals <= allowed * table.rows else "fail",
            value=table.refusals / table.rows,
            threshold=allowed,
            detail=_detail(table),
        )
        for name, table in checked.items()
    ]
    facts = {f"{name} rows": f"{table.rows:,}" for name, table in checked.items()}
    return Report(
        title="Ingestion",
        created_at=report.now(),
        checks=tuple(checks),
        facts=facts | {"label policy": schema.prediction.label.policy} | _labels(checked, schema),
    )


def _detail(table: Checked) -> str:
    if not table.reasons:
        return f"all {table.rows:,} rows keep it"
    reasons = sorted(table.reasons.items(), key=lambda item: (-item[1], item[0]))
    return "; ".join(f"{count:,} × {reason}" for reason, count in reasons[:5])


def _labels(checked: Checks, schema: Schema) -> dict[str, str]:
    """How many rows have a label, and why the others have none."""
    label = schema.prediction.label
    whys = " ".join(f"WHEN {condition} THEN '{reason}'" for reason, condition in label.missing.items())
    kind = f"CASE WHEN ({label.expression}) IS NOT NULL THEN 'labelled' {whys} ELSE 'without a label' END"
    rows = expressions.project(checked[schema.prediction.table].kept, {"kind": kind})
    counts = rows.group_by("kind").aggregate(rows=ibis._.count()).order_by("kind").to_pyarrow().to_pylist()
    return {f"{count['kind']} rows": f"{count['rows']:,}" for count in counts}
