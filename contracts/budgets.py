"""The budgets: what "good enough" means, typed, from `conf/base/budgets.yml`.

Plain YAML, no interpolation, so that it is read without Kedro. `environments:` holds what differs there, in the same
shape; everything else is shared.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta, Struct

from contracts.errors import InputError
from contracts.windows import Release

FORMAT = 1
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[int, Meta(ge=0)]
Percent = Annotated[int, Meta(ge=1, le=99)]
Metric = Literal["auc", "average_precision", "brier", "log_loss", "accuracy", "macro_f1", "r2", "mae", "rmse"]
LOWER_IS_BETTER = frozenset({"brier", "log_loss", "mae", "rmse"})


class BudgetError(InputError):
    """A budget that is missing, misspelt or out of range."""


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every section: a key that is not known is an error, not a silence."""


class Service(Section, frozen=True):
    """What a client may expect, over 30 days."""

    availability: Annotated[float, Meta(gt=0, lt=1)]
    latency_p50_ms: Positive
    latency_p99_ms: Positive
    throughput_rps: Positive
    error_share: Share


class LoadTest(Section, frozen=True):
    """How the load test asks."""

    users: Count
    seconds: Count
    warmup_seconds: Annotated[int, Meta(ge=0)]
    rows_per_request: Count


class Drain(Section, frozen=True):
    """How a pod goes away without losing a request; preStop, server drain and termination grace follow from it."""

    endpoint_lag_seconds: Annotated[int, Meta(ge=0)]
    in_flight_seconds: Annotated[int, Meta(ge=1)]
    margin_seconds: Annotated[int, Meta(ge=1)]

    @property
    def termination_grace_seconds(self) -> int:
        return self.endpoint_lag_seconds + self.in_flight_seconds + self.margin_seconds


class Scaling(Section, frozen=True):
    """What one replica gets and carries, and between which numbers of them the autoscaler moves."""

    requests_per_second_per_replica: Positive
    minimum_replicas: Count
    maximum_replicas: Count
    cpu_utilisation: Annotated[float, Meta(gt=0, lt=1)]
    inflight_per_replica: Count
    cpu: str
    memory: str

    def __post_init__(self) -> None:
        if self.maximum_replicas < self.minimum_replicas:
            raise ValueError(f"maximum_replicas {self.maximum_replicas} is below minimum_replicas")


class Canary(Section, frozen=True):
    """How a new version is let in, step by step, and what sends it back."""

    weights: Annotated[tuple[Percent, ...], Meta(min_length=1)]
    initial_delay_seconds: Seconds
    interval_seconds: Count
    failure_limit: Annotated[int, Meta(ge=0)]
    window_seconds: Count
    minimum_requests: Count
    patience_minutes: Positive
    success_rate: Annotated[float, Meta(gt=0, lt=1)]
    burn_rate: Positive
    prediction_shift: Positive
    progress_deadline_seconds: Count

    def __post_init__(self) -> None:
        if list(self.weights) != sorted(set(self.weights)):
            raise ValueError("weights must rise from step to step")

    @property
    def detection_seconds(self) -> int:
        """From the first measurement's delay to the abort, of a version that is bad from the start."""
        return self.initial_delay_seconds + self.failure_limit * self.interval_seconds

    @property
    def pause_seconds(self) -> int:
        """How long a step lasts: one interval longer than the analysis needs to fail."""
        return self.detection_seconds + self.interval_seconds


class BlueGreen(Section, frozen=True):
    """How long a version that has been switched to is watched, and how long the one before it stays to go back to."""

    observe_seconds: Count
    keep_seconds: Count

    def __post_init__(self) -> None:
        if self.keep_seconds <= self.observe_seconds:
            raise ValueError("keep_seconds must be more than observe_seconds: nothing would be left to go back to")


class Comparison(Section, frozen=True):
    """A/B: clients that send the header are answered by the new version for this long."""

    header: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]+$")]
    value: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]+$")]
    minutes: Count


class Objectives(Section, frozen=True):
    """Over how long the promises of `service` hold."""

    window_days: Count


class Monitoring(Section, frozen=True):
    """How often the servers are asked, and when something is old or full."""

    scrape_seconds: Count
    model_age_days: Count
    label_lag_days: Count
    saturation: Annotated[float, Meta(gt=0, le=1)]
    shadow_disagreement: Annotated[float, Meta(gt=0, le=1)]


class Cost(Section, frozen=True):
    """What it may cost."""

    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
    replica_hour: Positive
    monthly_budget: Positive


class Data(Section, frozen=True):
    """What ingestion lets through."""

    quarantine_share: Share


class Quality(Section, frozen=True):
    """What a model must reach, and how much worse than the champion it may be."""

    metric: Metric
    floor: float
    baseline_margin: float
    champion_margin: Annotated[float, Meta(ge=0)]
    segment_margin: Annotated[float, Meta(ge=0)]
    calibration_error: Share
    confidence: Annotated[float, Meta(gt=0.5, lt=1)]
    resamples: Count

    @property
    def higher_is_better(self) -> bool:
        return self.metric not in LOWER_IS_BETTER


class Model(Section, frozen=True):
    """What a model file may be."""

    maximum_bytes: Count
    parity_tolerance: Positive
    operators: tuple[str, ...]


class Drift(Section, frozen=True):
    """When a distribution counts as moved."""

    psi: Positive
    minimum_rows: Count


class Budgets(Section, frozen=True):
    """The whole document, for one environment."""

    format: int
    service: Service
    load_test: LoadTest
    drain: Drain
    scaling: Scaling
    canary: Canary
    blue_green: BlueGreen
    comparison: Comparison
    objectives: Objectives
    monitoring: Monitoring
    cost: Cost
    data: Data
    quality: Quality
    model: Model
    drift: Drift
    release: Release

    def __post_init__(self) -> None:
        if self.canary.window_seconds < 3 * self.monitoring.scrape_seconds:
            raise ValueError("canary.window_seconds must be at least three times monitoring.scrape_seconds")
        observed = self.blue_green.observe_seconds
        if observed < self.canary.detection_seconds:
            raise ValueError(
                f"blue_green.observe_seconds: a bad version takes {self.canary.detection_seconds} s to be seen"
            )
        if observed + self.canary.interval_seconds >= self.canary.progress_deadline_seconds:
            raise ValueError(
                "blue_green.observe_seconds must end before canary.progress_deadline_seconds, which takes back"
            )
        if self.replicas > self.scaling.maximum_replicas:
            raise ValueError(f"scaling.maximum_replicas: service.throughput_rps takes {self.replicas}")

    @property
    def compared_seconds(self) -> int:
        """How long an A/B comparison lasts: never less than the analysis needs."""
        return max(self.comparison.minutes * 60, self.canary.pause_seconds)

    @property
    def replicas(self) -> int:
        """Enough for the throughput that is promised, and never fewer than the minimum."""
        needed = math.ceil(self.service.throughput_rps / self.scaling.requests_per_second_per_replica)
        return max(needed, self.scaling.minimum_replicas)


def load(path: Path, environment: str | None = None) -> Budgets:
    """Read the budgets, as they hold in `environment` (None: without any environment's differences).

    Raises BudgetError with file, key and reason for a missing file, a wrong key or value, an unknown environment.
    """
    document = _document(Path(path))
    environments = document.pop("environments", None) or {}
    if not isinstance(environments, dict):
        raise BudgetError(f"{path}: environments: must map a name to what differs there; see docs/architecture.md")
    shared = _typed(path, document, "")
    merged = {
        name: _typed(path, _merge(path, document, changes, name), f"environments.{name}")
        for name, changes in environments.items()
    }
    if environment is None:
        return shared
    if environment not in merged:
        raise BudgetError(f"{path}: environments.{environment}: is not there; known: {', '.join(merged) or 'none'}")
    return merged[environment]


class _Loader(yaml.SafeLoader):
    """YAML in which a key that is written twice is an error; YAML itself would keep the last one in silence.

    A date stays the text that it is: what it means depends on the time zone beside it.
    """

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.constructor.ConstructorError(None, None, f"{twice} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _document(path: Path) -> dict[str, Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe one
    except OSError as error:
        raise BudgetError(
            f"{path}: {error.strerror}; it says what good enough means, and nothing runs without it"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BudgetError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise BudgetError(f"{path}: must be a mapping of sections; see docs/architecture.md")
    return document


def _merge(path: Path, shared: dict[str, Any], changes: Any, place: str) -> dict[str, Any]:
    if not isinstance(changes, dict):
        raise BudgetError(f"{path}: environments.{place}: must be a mapping of sections, not {changes!r}")
    merged = dict(shared)
    for section, values in changes.items():
        both = isinstance(values, dict) and isinstance(shared.get(section), dict)
        merged[section] = {**shared[section], **values} if both else values
    return merged


def _typed(path: Path, document: dict[str, Any], place: str) -> Budgets:
    try:
        budgets = msgspec.convert(document, Budgets)
    except msgspec.ValidationError as error:
        reason, _, key = str(error).partition(" - at `$.")
        where = ".".join(part for part in (place, key.rstrip("`")) if part) or "document"
        raise BudgetError(f"{path}: {where}: {reason}") from error
    if endless := next(_endless(document), None):
        raise BudgetError(f"{path}: {'.'.join(part for part in (place, endless) if part)}: must be a finite number")
    if budgets.format != FORMAT:
        raise BudgetError(f"{path}: format: is {budgets.format}, this version reads {FORMAT}")
    return budgets


def _endless(values: dict[str, Any], place: str = "") -> Iterator[str]:
    """Where a value is infinite or not a number: a comparison with it would decide nothing."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _endless(value, f"{place}{key}.")
        elif isinstance(value, float) and not math.isfinite(value):
            yield f"{place}{key}"
