"""Where a version comes from, as tags, and what the gates measured, as metrics."""

import re

from contracts.bundle import Bundle
from contracts.report import Report

DIGEST = "bundle_digest"  # the key of idempotency: one version per value
VERDICT = "gate_verdict"


def tags(bundle: Bundle, gates: Report, force_reason: str) -> dict[str, str]:
    """The tags of a registered version; every value is text, empty where there is nothing."""
    provenance = bundle.provenance
    champion = gates.facts.get("champion", "none")  # a new version descends from what it was held against
    named = {
        DIGEST: bundle.digest,
        "created_at": provenance.created_at,
        "git_sha": provenance.git_sha,
        "git_dirty": str(provenance.git_dirty).lower(),
        "inputs_hash": provenance.inputs_hash,
        "data_hash": provenance.data_hash,
        "parameters_hash": provenance.parameters_hash,
        "code_hash": provenance.code_hash,
        "requirements_hash": provenance.requirements_hash,
        "seed": str(provenance.seed),
        "parent": provenance.parent or ("" if champion == "none" else champion),
        "data_from": provenance.data_from,
        "data_until": provenance.data_until,
        "device": provenance.device,
        "task": bundle.manifest.task,
        "target": bundle.manifest.target,
    }
    return named | verdict(gates, force_reason)


def verdict(gates: Report, force_reason: str) -> dict[str, str]:
    """What the gates said; may change when they are asked again, with another champion for one."""
    refusals = "; ".join(f"{check.gate}: {check.name}" for check in gates.refusals)
    return {
        VERDICT: "passed" if gates.passed else "refused",
        "gates_asked_at": gates.created_at,
        "gate_refusals": refusals[:500],
        "forced_reason": "" if gates.passed else force_reason,
    }


def metrics(gates: Report) -> dict[str, float]:
    """Every number that a gate measured, under `gates/<gate>/<check>`."""
    return {
        f"gates/{_plain(check.gate)}/{_plain(check.name)}": float(check.value)
        for check in gates.checks
        if isinstance(check.value, int | float)
    }


def _plain(name: str) -> str:
    """MLflow takes few characters in a metric's name."""
    return re.sub(r"[^\w.-]+", "_", name)
