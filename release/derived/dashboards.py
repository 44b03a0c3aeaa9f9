"""The four dashboards of an environment."""

from contracts.budgets import Budgets
from release.derived.model_dashboard import model
from release.derived.panels import Dashboard
from release.derived.promql import Scope
from release.derived.release_dashboards import cost, rollout
from release.derived.service_dashboard import service


def of(budgets: Budgets, namespace: str) -> tuple[Dashboard, ...]:
    """Service, model, rollout, cost."""
    scope = Scope(namespace)
    return (service(budgets, scope), model(budgets, scope), rollout(budgets, scope), cost(budgets, scope))
