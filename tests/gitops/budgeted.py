"""Budgets and an identity for tests whose figures must not move when somebody tunes conf/base/budgets.yml."""

from msgspec import structs

from contracts import budgets
from contracts.budgets import Budgets, Canary
from release.derived.identity import Identity
from tests.gitops.manifests import ROOT

IDENTITY = Identity(environment="here", namespace="ns", part_of="model", owner="team", pages="https://example.org")


def budgeted(**changes) -> Budgets:
    """The repository's budgets with these in place of theirs; `section__key=value`."""
    found = structs.replace(
        budgets.load(ROOT / "conf/base/budgets.yml"),
        canary=Canary(
            weights=(5, 25, 50),
            initial_delay_seconds=60,
            interval_seconds=30,
            failure_limit=2,
            window_seconds=120,
            minimum_requests=100,
            patience_minutes=60,
            success_rate=0.99,
            burn_rate=3,
            prediction_shift=0.25,
            progress_deadline_seconds=600,
        ),
    )
    promised = {
        "service__availability": 0.999,
        "service__latency_p99_ms": 100,
        "drift__minimum_rows": 500,
        "scaling__inflight_per_replica": 8,
    }
    observed = {"blue_green__observe_seconds": 300, "blue_green__keep_seconds": 900, "monitoring__scrape_seconds": 15}
    for place, value in (promised | observed | changes).items():
        section, _, key = place.partition("__")
        found = structs.replace(found, **{section: structs.replace(getattr(found, section), **{key: value})})
    return found
