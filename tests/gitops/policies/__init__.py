"""What must hold for every environment's rendered manifests. A policy gives one line for each breach."""

from tests.gitops.policies import analysis, baseline, delivery, references, routing
from tests.gitops.policies.registry import POLICIES, breaches

__all__ = ["POLICIES", "analysis", "baseline", "breaches", "delivery", "references", "routing"]
