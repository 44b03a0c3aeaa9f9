"""The verdict: what was seen, held against the budgets of one environment."""

from collections import Counter

from contracts import report
from contracts.budgets import Budgets
from contracts.bundle import Bundle
from contracts.report import Check, Figure, Report, Status
from loadtests import charts
from loadtests.observations import Observations

GATE = "loadtest"


def verdict(seen: Observations, budgets: Budgets, bundle: Bundle, facts: dict[str, str]) -> Report:
    """A report whose subject is the digest that answered; `facts` say how it was asked."""
    service = budgets.service
    p50, p99 = seen.percentile(0.5), seen.percentile(0.99)
    limits = {"p50 budget": service.latency_p50_ms, "p99 budget": service.latency_p99_ms}
    answered = [digest for digest, _ in seen.digests.most_common()]
    return Report(
        title=f"Load test of {bundle.manifest.name}",
        subject=answered[0] if answered else "",
        created_at=report.now(),
        checks=(
            _at_most("p50 latency, ms", p50, service.latency_p50_ms),
            _at_most("p99 latency, ms", p99, service.latency_p99_ms),
            _throughput(seen, service.throughput_rps),
            _errors(seen, service.error_share),
            _digest(answered, bundle.digest),
            _answers(seen),
        ),
        facts={
            **facts,
            "requests": f"{seen.requests:,}",
            "p90 latency": f"{seen.percentile(0.9):.3g} ms",
            "slowest": f"{seen.percentile(1.0):.3g} ms",
            "model version": ", ".join(seen.versions) or "none",
        },
        figures=(
            Figure(
                title="Latency",
                svg=charts.distribution(seen.latencies, limits, "ms"),
                caption="Answers by latency, at the client, logarithmic.",
            ),
            Figure(
                title="Throughput",
                svg=charts.over_time([float(n) for n in seen.per_second], service.throughput_rps, "budget"),
                caption="Answers in each second, without the warm-up.",
            ),
        ),
    )


def _at_most(name: str, value: float, limit: float) -> Check:
    good = value <= limit
    detail = "" if good else "slower than clients were promised: look at the stages in the server's metrics"
    return _check(name, good, value if value < float("inf") else "no answer", limit, detail)


def _throughput(seen: Observations, limit: float) -> Check:
    good = seen.throughput >= limit
    detail = "" if good else "fewer answers than the environment must carry: more users, rows or replicas change that"
    return _check("answers per second", good, seen.throughput, limit, detail)


def _errors(seen: Observations, limit: float) -> Check:
    return _check("share of errors", seen.error_share <= limit, seen.error_share, limit, _most_common(seen.errors))


def _digest(answered: list[str], expected: str) -> Check:
    good = answered == [expected]
    if not answered:
        detail = "no answer named a bundle"
    elif len(answered) > 1:
        detail = "more than one bundle answered"
    else:
        detail = "" if good else "the server does not serve the bundle that was tested"
    return _check("bundle digest", good, ", ".join(answered) or "none", expected, detail)


def _answers(seen: Observations) -> Check:
    detail = _most_common(seen.wrong) or f"{seen.golden:,} times the golden rows"
    good = None if not seen.wrong and not seen.golden else not seen.wrong
    return _check("wrong answers", good, float(seen.wrong.total()), 0.0, detail)


def _check(name: str, good: bool | None, value: float | str, threshold: float | str, detail: str) -> Check:
    status: Status = "not_run" if good is None else "pass" if good else "fail"
    return Check(gate=GATE, name=name, status=status, value=value, threshold=threshold, detail=detail)


def _most_common(reasons: Counter[str]) -> str:
    return ", ".join(f"{reason}: {number}" for reason, number in reasons.most_common(5))
