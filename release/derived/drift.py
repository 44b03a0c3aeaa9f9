"""Whether what comes in and goes out is still what the model was trained on, and what a shadow says about it."""

from collections.abc import Iterator

from contracts.budgets import Budgets
from release.derived.promql import Scope
from release.derived.rules import SETTLING, TICKET, Alert, Record

# Counted in steps, which are added up over the window: the raw series of a whole day would cost Prometheus more than
# all the rest. A step is one evaluation of its group.
STEP, WINDOW = "2m", "1d"
SMALLEST = "0.0001"  # in place of no share at all, of which there is no logarithm
SMOOTHING = "0.5"  # of a row
DRIFTING = (("feature", "ml_feature"), ("output", "ml_prediction"))


def records(scope: Scope) -> Iterator[Record]:
    """By bin, the window's rows, their share and that in training; over the bins, the index: sum (q - p) ln(q / p)."""
    labels = {"namespace": scope.namespace}
    for what, metric in DRIFTING:
        bins, each = f"model, version, {what}, bin", f"model, version, {what}"
        step, rows, share, trained = (
            f"{metric}_bin:{name}"
            for name in (f"rows_{STEP}", f"rows_{WINDOW}", f"share_{WINDOW}", "share_in_training")
        )
        q, p = scope.of(share), scope.of(trained)
        seen = scope.of(rows)
        # A bin that neither side has says nothing; the others get half a row, as the gates do (pipelines/validation).
        used = f"(({seen} + {SMOOTHING})\nunless ({seen} == 0 and {p} <= {SMALLEST}))"
        for name, expression in (
            (step, f"sum by ({bins}) (increase({scope.of(f'{metric}_bin_total')}[{STEP}]))"),
            (rows, f"sum_over_time({scope.of(step)}[{WINDOW}])"),
            (trained, f"clamp_min(max by ({bins}) ({scope.of(f'{metric}_reference_ratio')}), {SMALLEST})"),
            (share, f"{used}\n/ on ({each}) group_left\nsum by ({each}) {used}"),
            (f"{metric}:rows_{WINDOW}", f"sum by ({each}) ({seen})"),
            (f"{metric}:psi_{WINDOW}", f"sum by ({each}) (({q} - {p}) * ln({q} / {p}))"),
        ):
            yield Record(name, expression, labels)


def alerts(budgets: Budgets, scope: Scope) -> Iterator[Alert]:
    """What comes in, and what goes out, is not distributed as in training."""
    for (what, metric), name, subject in zip(
        DRIFTING,
        ("FeatureDrift", "PredictionDrift"),
        ("input {{ $labels.feature }}", "predictions ({{ $labels.output }})"),
        strict=True,
    ):
        yield Alert(
            name=name,
            expression=(
                f"{scope.of(f'{metric}:psi_{WINDOW}')} > {budgets.drift.psi:g}\n"
                f"and on (model, version, {what})\n"
                f"{scope.of(f'{metric}:rows_{WINDOW}')} >= {budgets.drift.minimum_rows}"
            ),
            hold="1h",
            severity=TICKET,
            summary=f"{subject} moved for version {{{{ $labels.version }}}}: index {{{{ $value | printf `%.2f` }}}}",
            description=(
                f"Over {WINDOW}, against the training data; more than {budgets.drift.psi:g} is a shift. "
                f"Below {budgets.drift.minimum_rows} rows nothing is judged."
            ),
        )


def shadow(budgets: Budgets, scope: Scope) -> Iterator[Alert]:
    """A second bundle beside the model, where there is one."""
    by, rows = "model, version", 'outcome="compared"'
    differing = scope.total("ml_shadow_rows_total", "1h", 'outcome="differing"', by=by)
    compared = scope.total("ml_shadow_rows_total", "1h", rows, by=by)
    seen = f"sum by ({by}) (increase({scope.of('ml_shadow_rows_total', rows)}[1h]))"
    yield Alert(
        name="ShadowDisagrees",
        expression=(
            f"{differing}\n/\n{compared} > {budgets.monitoring.shadow_disagreement:g}\n"
            f"and\n{seen} >= {budgets.drift.minimum_rows}"
        ),
        hold=SETTLING,
        severity=TICKET,
        summary="the shadow decides {{ $value | humanizePercentage }} of the rows otherwise",
        description=f"More than {budgets.monitoring.shadow_disagreement:.0%} of an hour's rows: look at it first.",
    )
    yield Alert(
        name="ShadowDown",
        expression=f"{scope.of('ml_shadow_up')} == 0",
        hold=SETTLING,
        severity=TICKET,
        summary="the shadow of {{ $labels.pod }} takes no copies",
        description="It was refused, or it keeps dying. The model itself is not touched by it; nothing is compared.",
    )
