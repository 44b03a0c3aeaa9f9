"""AnalysisTemplates: what a new version is asked while it is let in, and the answers that send it back.

A measurement looks back over the window, or over the new pods' whole life where the window holds too few requests.
Below the traffic floor nothing is judged: the query gives the healthy value then, and `traffic-floor`, which stands
between the steps, does not let the version go on. docs/delivery.md has the table of answers and verdicts.
"""

import math
from collections.abc import Callable

from msgspec import Struct, structs

from contracts.budgets import Budgets
from release.derived import promql
from release.derived.identity import Identity
from release.derived.promql import Scope
from release.derived.text import HEADER, component, indented, metadata

CANARY, STABLE = "canary-hash", "stable-hash"
SLO, SHIFT, FLOOR, SEEN = "slo", "prediction-shift", "traffic-floor", "seen"
OBSERVED, COMPARED = "slo-observed", "slo-compared"  # both of them, for blue/green and for A/B
BUDGETED_ERRORS = 10  # a burn rate is judged from so many requests on that this many errors would be in the budget
# Argo Rollouts refuses a Rollout whose analysis between the steps has no count ("runs indefinitely"), first deployment
# included: years of measurements, after which it would be a failure.
FOREVER = 10_000_000
BORNE = 0.01  # of a comparison's measurements may be bad: over days some are, of any version
ONCE = "[1d]"  # in which a pod was scraped, if it ever was: a lost one is judged long before that is over
PILED_UP = 4  # times the requests in flight at which the autoscaler adds replicas: beyond that they are not answered
RETRY_SECONDS = 10  # the controller's own interval after a measurement that could not be made
PREDICTIONS = "ml_prediction_grid_total"  # in bins that every version has
ANSWERED = 'bin!="__missing__"'  # no number is no prediction, but a bad answer: `success-rate` counts it
SMALLEST_SHARE = 0.001  # of a bin that one side has and the other has not


class Metric(Struct, frozen=True, kw_only=True):
    """One metric of a template. A limit below zero: it does not apply."""

    name: str
    about: str
    query: str
    condition: str
    delay: int = 0
    failures: int = 0
    count: int = 0
    successes: int = 0


def files(budgets: Budgets, identity: Identity) -> dict[str, str]:
    """The component `analysis` of an environment."""
    scope = Scope(identity.namespace)
    promised, moved = slo(budgets, scope), shift(budgets, scope)
    counted, failures = measurements(budgets, budgets.blue_green.observe_seconds), borne(budgets)
    templates = {
        SLO: promised,
        SHIFT: moved,
        OBSERVED: tuple(structs.replace(metric, count=counted) for metric in (*promised, *moved)),
        COMPARED: tuple(structs.replace(metric, failures=failures) for metric in (*promised, *moved)),
        FLOOR: floor(budgets, scope),
        SEEN: seen(scope),
    }
    written = {f"analysis/{name}.yaml": _template(name, each, budgets, identity) for name, each in templates.items()}
    return {"analysis/kustomization.yaml": component(resources=[f"{name}.yaml" for name in templates]), **written}


def slo(budgets: Budgets, scope: Scope) -> tuple[Metric, ...]:
    """What was promised to clients, held against the new version's own answers."""
    canary, service = budgets.canary, budgets.service
    new, window = _version(scope, CANARY), f"[{canary.window_seconds}s]"
    buckets = new.of("ml_inference_duration_seconds_bucket")
    allowed = 1 - service.availability
    enough = math.ceil(BUDGETED_ERRORS / allowed)
    piled_up = PILED_UP * budgets.scaling.inflight_per_replica
    every = {"delay": canary.initial_delay_seconds, "failures": canary.failure_limit}
    return (
        Metric(
            name="success-rate",
            about=f"at least {canary.success_rate:g} of the answers are good ones",
            query=_judged(
                new,
                [window, ""],
                lambda over: f"1 - {_bad(new, over)}\n/ {_asked(new, over)}",
                canary.minimum_requests,
                1,
            ),
            condition=f"result[0] >= {canary.success_rate:g}",
            **every,
        ),
        Metric(
            name="latency-p99",
            about=f"99 of 100 answers come within {service.latency_p99_ms:g} ms",
            query=_judged(
                new,
                [window, ""],
                lambda over: f"histogram_quantile(0.99, sum by (le) ({_counted(buckets, over)}))",
                canary.minimum_requests,
                0,
            ),
            condition=f"result[0] <= {service.latency_p99_ms / 1000:g}",
            **every,
        ),
        Metric(
            name="in-flight",
            about=f"at most {piled_up} requests in flight in a pod, on average: what hangs gives no answers to judge",
            query=f"max(avg_over_time({new.of('ml_inference_inflight')}{window}))\nor vector(0)",
            condition=f"result[0] <= {piled_up}",
            **every,
        ),
        Metric(
            name="scrape-lost",
            about="no pod that Prometheus reached answers it less than half of the time, and it reached one of them",
            query=_lost(new, f"{patience(budgets)}s"),
            condition="result[0] <= 0",
            **every,
        ),
        Metric(
            name="error-budget-burn",
            about=f"it burns its error budget at most {canary.burn_rate:g} times too fast, over its whole life; "
            f"judged from {enough} requests on, of which {BUDGETED_ERRORS} may fail",
            query=_judged(
                new, [""], lambda over: f"{_bad(new, over)}\n/ {_asked(new, over)} / {allowed:.6g}", enough, 0
            ),
            condition=f"result[0] <= {canary.burn_rate:g}",
            **every,
        ),
    )


def shift(budgets: Budgets, scope: Scope) -> tuple[Metric, ...]:
    """The new version's predictions, since it is there, against the stable one's in as long as the steps take."""
    canary, least = budgets.canary, budgets.drift.minimum_rows
    window = f"[{len(canary.weights) * canary.pause_seconds}s]"
    new, old = (
        _counted(_version(scope, argument).of(PREDICTIONS, ANSWERED), over)
        for argument, over in ((CANARY, ""), (STABLE, window))
    )
    shares = (
        f"sum by (output, bin) ({each}) / on (output) group_left () sum by (output) ({each})" for each in (new, old)
    )
    p, q = (f"clamp_min({each}, {SMALLEST_SHARE:g})" for each in shares)
    enough = "".join(f"\n  and min(sum by (output) ({each})) >= {least}" for each in (new, old))
    return (
        Metric(
            name="prediction-shift",
            about=f"its predictions are distributed as the stable version's: a stability index of at most "
            f"{canary.prediction_shift:g}, judged from {least} predictions of each on",
            query=f"(max(sum by (output) (\n  ({p}\n  - {q})\n  * ln({p}\n  / {q})\n)){enough})\nor vector(0)",
            condition=f"result[0] <= {canary.prediction_shift:g}",
            delay=canary.initial_delay_seconds,
            failures=canary.failure_limit,
        ),
    )


def floor(budgets: Budgets, scope: Scope) -> tuple[Metric, ...]:
    """Whether it has given predictions enough to be judged by; waits until it has, and no longer.

    What it refuses does not count: whoever takes nothing that clients send (a column more than they have) would else be
    without any bad answer, and go on.
    """
    new = _version(scope, CANARY)
    given = new.of("ml_inference_requests_total", promql.ASKED, promql.GIVEN)
    return (
        Metric(
            name=FLOOR,
            about=f"it has given {budgets.canary.minimum_requests} predictions; -1: Prometheus does not see it at all",
            query=f"sum({given})\nor 0 * count({new.of('ml_model_info')})\nor vector(-1)",
            condition=f"result[0] >= {budgets.canary.minimum_requests}",
            count=FOREVER,
            failures=-1,
            successes=1,
        ),
    )


def seen(scope: Scope) -> tuple[Metric, ...]:
    """Before all traffic is switched to it: whether there is anything to judge it by afterwards."""
    return (
        Metric(
            name=SEEN,
            about="Prometheus scrapes it: what cannot be seen is not switched to",
            query=f"count({_version(scope, CANARY).of('ml_model_info')})\nor vector(0)",
            condition="result[0] >= 1",
            count=FOREVER,
            failures=-1,
            successes=1,
        ),
    )


def _version(scope: Scope, argument: str) -> Scope:
    return Scope(scope.namespace, f'rollouts_pod_template_hash="{{{{args.{argument}}}}}"')


def _counted(selector: str, over: str) -> str:
    """Counted in a window, or, where `over` is empty, since the pods are there."""
    return f"increase({selector}{over})" if over else selector


def _asked(version: Scope, over: str) -> str:
    return f"sum({_counted(version.of('ml_inference_requests_total', promql.ASKED), over)})"


def _bad(version: Scope, over: str) -> str:
    """Always a number: where nothing of the kind was ever answered, there may be no series."""
    return "\n+ ".join(
        f"(sum({_counted(selector, over)}) or vector(0))"
        for selector in (
            version.of("ml_inference_requests_total", promql.ASKED, promql.BAD),
            version.of("ml_inference_rejected_total", promql.NO_NUMBER),
        )
    ).join(("(", ")"))


def _lost(version: Scope, window: str) -> str:
    """How many pods Prometheus lost: the other metrics do not see what they are doing.

    `up` itself ends with the pod, and a window does not: whoever left has to be one of those that are there. A pod that
    starts was not scraped before the window. Were none of them ever, all are lost: analysis begins when they are ready.
    """
    up = version.of("up")
    return (
        f"count({up} and avg_over_time({up}[{window}]) < 0.5\nand max_over_time({up}{ONCE} offset {window}) == 1)\n"
        f"or count({up}) unless count(max_over_time({up}{ONCE}) == 1)\nor vector(0)"
    )


def _judged(version: Scope, overs: list[str], value: Callable[[str], str], least: int, healthy: float) -> str:
    """The value over the first span that holds enough answers, or else the healthy one."""
    parts = (f"({value(over)}\nand {_asked(version, over)} >= {least})" for over in overs)
    return "\nor ".join((*parts, f"vector({healthy:g})"))


def _template(name: str, metrics: tuple[Metric, ...], budgets: Budgets, identity: Identity) -> str:
    arguments = [each for each in (CANARY, STABLE) if any(f"args.{each}" in metric.query for metric in metrics)]
    listed = "".join(f"    - name: {each}\n" for each in arguments)
    written = "".join(_metric(metric, budgets) for metric in metrics)
    return f"""\
{HEADER}apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
{metadata(name, identity)}spec:
  args:
{listed}  metrics:
{written}"""


def _metric(metric: Metric, budgets: Budgets) -> str:
    interval = budgets.canary.interval_seconds
    lines = [f"- name: {metric.name} # {metric.about}"]
    if metric.delay:
        lines.append(f"  initialDelay: {metric.delay}s")
    lines.append(f"  interval: {interval}s")
    if metric.count:
        lines.append(f"  count: {metric.count}")
    lines.append(f"  failureLimit: {metric.failures}")
    if metric.successes:
        lines.append(f"  consecutiveSuccessLimit: {metric.successes}")
    lines += (
        f"  consecutiveErrorLimit: {errors(budgets)}",
        f'  successCondition: "len(result) > 0 && !isNaN(result[0]) && !isInf(result[0]) && {metric.condition}"',
        "  provider:",
        "    prometheus:",
        "      query: |-",
    )
    return indented("\n".join(lines), 4) + indented(metric.query, 12)


def patience(budgets: Budgets) -> int:
    """Seconds in which a pod may miss half of its scrapes: as one does that ends, until Prometheus forgets it.

    Its last ones, for as long as it may take to end, stay the newest ones until two more would have come.
    """
    return budgets.drain.termination_grace_seconds + 4 * budgets.monitoring.scrape_seconds


def measurements(budgets: Budgets, seconds: int) -> int:
    """How many it takes to look at a version for so long, the last one not before its end."""
    return math.ceil((seconds - budgets.canary.initial_delay_seconds) / budgets.canary.interval_seconds) + 1


def borne(budgets: Budgets) -> int:
    """Bad measurements that a comparison bears: `failure_limit` is meant for a release of minutes."""
    counted = measurements(budgets, budgets.compared_seconds)
    return max(budgets.canary.failure_limit, math.floor(BORNE * counted))


def errors(budgets: Budgets) -> int:
    """Measurements in a row that may not be possible at all: nobody is blind for longer than a step lasts."""
    return max(budgets.canary.pause_seconds // RETRY_SECONDS, 1)
