"""For each policy, copies of good manifests that were broken in the ways it is for: (variant, change)."""

from tests.gitops.breaks import analysis, baseline, delivery, references, routing

BREAKS = baseline.BREAKS | delivery.BREAKS | analysis.BREAKS | routing.BREAKS | references.BREAKS
