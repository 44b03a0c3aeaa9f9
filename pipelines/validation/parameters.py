"""What `conf/base/parameters_validation.yml` may hold: how the gates ask. What is good enough stands in the budgets."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from pipelines.parameters import Section

Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Range = tuple[int, int]  # lowest and highest, both allowed


class ModelGuard(Section, frozen=True, kw_only=True):
    """What the model guard lets through, beside the budgets' operators and size."""

    opset: Range
    ml_opset: Range
    ir: Range
    elements_per_row: Count
    memory_megabytes: Count
    seconds: Count


class Leakage(Section, frozen=True, kw_only=True):
    """When one column alone knows too much."""

    rows: Count
    single_feature: Annotated[float, Meta(gt=0.5, le=1)]


class DeepchecksCheck(Section, frozen=True, kw_only=True):
    """One check of Deepchecks by its class name, with the conditions that decide and what a failure means."""

    check: str
    conditions: dict[str, dict[str, Any]]
    params: dict[str, Any] = {}
    tasks: tuple[Literal["binary", "multiclass", "regression"], ...] = ("binary", "multiclass", "regression")
    severity: Literal["block", "warn"] = "block"


class Deepchecks(Section, frozen=True, kw_only=True):
    """The suite that runs in an environment and a process of its own."""

    enabled: bool = True
    python: str
    rows: Count
    seconds: Count
    checks: tuple[DeepchecksCheck, ...]


class Parameters(Section, frozen=True, kw_only=True):
    """Everything the validation pipeline can be told."""

    champion: str = ""
    accepted_input_changes: tuple[str, ...] = ()
    minimum_rows: Count
    missing_increase: Share
    segment_rows: Count
    batch_rows: Count
    seed: int
    model_guard: ModelGuard
    leakage: Leakage
    deepchecks: Deepchecks
