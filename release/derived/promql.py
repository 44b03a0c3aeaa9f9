"""What the rules and the dashboards ask Prometheus, in one place.

A query speaks of one environment: of the series that scraping gave its namespace (gitops: the PodMonitor, which adds
`pod` and `rollouts_pod_template_hash` too). What the server exports: docs/serving.md, "Metrics".
"""

import re

from msgspec import Struct

ASKED = 'route=~"infer|invocations"'  # what clients come for: predictions
BAD = 'code=~"5.."'  # ours, 503 for more than we can take included; 429 is a client beyond the rate of its key
GIVEN = 'code="200"'  # a prediction
NO_NUMBER = 'reason="no_finite_answer"'  # the model had none: a 422, and not the client's fault
REFUSED = 'reason=~"overloaded|too_many_connections|deadline_exceeded|not_ready"'
# What a server exports and Prometheus says of it. A shadow's pod exports the same, in the same namespace, and answers
# nobody: it has no Rollout's hash, and only a scope that asks for such pods finds it.
SERVER = re.compile(r"(ml|process)_\w+|up")
HASH = "rollouts_pod_template_hash"
MODEL_POD, SHADOW_POD = f'{HASH}!=""', f'{HASH}=""'
HOURS_A_MONTH = 730


class Scope(Struct, frozen=True):
    """Whose series a query is about; `more` are matchers that every selector gets besides."""

    namespace: str
    more: str = ""

    def of(self, metric: str, *matchers: str) -> str:
        """A selector."""
        wanted = [f'namespace="{self.namespace}"', *filter(None, (*matchers, self.more))]
        if SERVER.fullmatch(metric) and not any(matcher.startswith(HASH) for matcher in wanted):
            wanted.append(MODEL_POD)
        return f"{metric}{{{','.join(wanted)}}}"

    def total(self, metric: str, window: str, *matchers: str, by: str = "") -> str:
        """A counter's increase per second, summed over pods."""
        return f"sum{f' by ({by}) ' if by else ''}(rate({self.of(metric, *matchers)}[{window}]))"


def requests(scope: Scope, window: str, by: str = "") -> str:
    """Predictions that were asked for, a second."""
    return scope.total("ml_inference_requests_total", window, ASKED, by=by)


def failures(scope: Scope, window: str) -> str:
    """Those of them that clients did not get for a reason of ours, a second. Always a number: 0 where none was seen."""
    answers = scope.total("ml_inference_requests_total", window, ASKED, BAD)
    no_number = scope.total("ml_inference_rejected_total", window, NO_NUMBER)
    return f"(({answers} or vector(0)) + ({no_number} or vector(0)))"


def answered(scope: Scope, window: str) -> str:
    """Answers whose time was taken, a second."""
    return scope.total("ml_inference_duration_seconds_count", window)


def slow(scope: Scope, window: str, seconds: float) -> str:
    """Those of them that took longer; `seconds` must be a bound of the server's histogram (a test holds it)."""
    bound = f'le="{seconds!r}"'
    quick = scope.total("ml_inference_duration_seconds_bucket", window, bound)
    return f"({answered(scope, window)} - {quick})"


def quantile(scope: Scope, share: float, window: str, by: str = "") -> str:
    """The time within which this share of the answers came, in seconds."""
    buckets = scope.total("ml_inference_duration_seconds_bucket", window, by=", ".join(filter(None, ("le", by))))
    return f"histogram_quantile({share:g}, {buckets})"


def predictions(scope: Scope, window: str) -> str:
    """Rows that went through the model, a second."""
    return scope.total("ml_inference_batch_size_sum", window)


def pods(scope: Scope) -> str:
    """Pods of the model that Prometheus reaches."""
    return f"count({scope.of('up')} == 1)"


def cpu(scope: Scope, window: str, cores: float) -> str:
    """Share of its processor time that each pod uses."""
    return f"sum by (pod) (rate({scope.of('process_cpu_seconds_total')}[{window}])) / {cores:g}"


def memory(scope: Scope, limit_bytes: int) -> str:
    """Share of its memory that each pod uses."""
    return f"max by (pod) ({scope.of('process_resident_memory_bytes')}) / {limit_bytes}"


def phase(scope: Scope, phases: str) -> str:
    """Rollouts in one of these phases, as the Argo Rollouts controller says it (its calculatePhase)."""
    wanted = f'phase=~"{phases}"'
    return f"max by (namespace, name, phase) ({scope.of('rollout_info', wanted)})"
