"""What is generated into gitops/envs/<environment>/derived, all of it from the budgets: one module for each subject.

A module gives paths below `derived/` with what the files say. Numbers come from the budgets, names from gitops/.
"""

from collections.abc import Callable

from contracts.budgets import Budgets
from release.derived import analysis, autoscaling, bluegreen, canary, monitoring, sizing
from release.derived.identity import Identity

Files = dict[str, str]
SUBJECTS: tuple[Callable[[Budgets, Identity], Files], ...] = (
    sizing.files,
    analysis.files,
    canary.files,
    bluegreen.files,
    autoscaling.files,
    monitoring.files,
)


def files(budgets: Budgets, identity: Identity) -> Files:
    """Every derived file of an environment, by its path below `derived/`."""
    written: Files = {}
    for subject in SUBJECTS:
        written |= subject(budgets, identity)
    return written
