"""The dashboard of the model: what it sees and says, against its training data."""

from contracts.budgets import Budgets
from release.derived import drift
from release.derived.panels import BY_VERSION, CHOSEN, WINDOW, Dashboard, Panel, Query, Row, Variable, versions
from release.derived.promql import ASKED, SHADOW_POD, Scope, quantile


def model(budgets: Budgets, scope: Scope) -> Dashboard:
    """What the model sees and says, against its training data."""
    shown = Scope(scope.namespace, CHOSEN)
    return Dashboard(
        name="model",
        about="What the model sees and says, against its training data.",
        rows=(
            _what_runs(budgets, scope, shown),
            _inputs(budgets, shown),
            _predictions(budgets, shown),
            _shadow(budgets, shown),
            _candidate(Scope(scope.namespace, SHADOW_POD)),
        ),
        variables=(versions(scope), Variable("feature", scope.of("ml_feature_reference_ratio"), "feature")),
    )


def _what_runs(budgets: Budgets, scope: Scope, shown: Scope) -> Row:
    panels = (
        Panel(
            title="What is served",
            about="Digest of the bundle, commit and data that it was built from.",
            queries=(Query(f"max by (model, version, digest, git_sha, data_hash) ({scope.of('ml_model_info')})"),),
            kind="table",
            width=16,
            height=6,
        ),
        Panel(
            title="Age",
            about=f"Since it was built; after {budgets.monitoring.model_age_days} days it is to be trained again.",
            queries=(Query(f"max by (version) ({shown.of('ml_model_age_seconds')})", BY_VERSION),),
            kind="stat",
            unit="s",
            limit=budgets.monitoring.model_age_days * 86_400,
            width=4,
            height=6,
        ),
        Panel(
            title="Last label",
            about="Since the last label came in. The monitoring pipeline exports it, once there is one.",
            queries=(Query(f"max({scope.of('ml_label_lag_seconds')})"),),
            kind="stat",
            unit="s",
            limit=budgets.monitoring.label_lag_days * 86_400,
            width=4,
            height=6,
        ),
    )
    return Row("What runs", panels)


def _inputs(budgets: Budgets, shown: Scope) -> Row:
    chosen, window = 'feature=~"$feature"', drift.WINDOW
    rows_of = shown.total("ml_feature_bin_total", WINDOW, by="version, feature")
    missing = shown.total("ml_feature_missing_total", WINDOW, by="version, feature")
    unseen = shown.total("ml_feature_unseen_category_total", WINDOW, by="version, feature")
    panels = (
        Panel(
            title="Inputs that moved",
            about=f"Population stability index over {window} against training; above the limit it is a shift.",
            queries=(Query(f"topk(15, {shown.of(f'ml_feature:psi_{window}')})", "{{feature}} ({{version}})"),),
            kind="bargauge",
            limit=budgets.drift.psi,
            width=12,
            height=10,
        ),
        Panel(
            title="The same, over time",
            about=f"Judged from {budgets.drift.minimum_rows} rows on.",
            queries=(Query(shown.of(f"ml_feature:psi_{window}", chosen), "{{feature}} ({{version}})"),),
            limit=budgets.drift.psi,
            width=12,
            height=10,
        ),
        Panel(
            title="Share by bin, now",
            about=f"Of the features chosen above, over {window}; a bin's name is its upper edge, or its category.",
            queries=(Query(shown.of(f"ml_feature_bin:share_{window}", chosen), "{{feature}} {{bin}} ({{version}})"),),
            kind="bargauge",
            unit="percentunit",
            width=12,
            height=10,
        ),
        Panel(
            title="Share by bin, in training",
            about="Of the same features.",
            queries=(Query(shown.of("ml_feature_bin:share_in_training", chosen), "{{feature}} {{bin}} ({{version}})"),),
            kind="bargauge",
            unit="percentunit",
            width=12,
            height=10,
        ),
        Panel(
            title="Missing values",
            about="Share of the rows, by input.",
            queries=(Query(f"{missing} / {rows_of}", "{{feature}}"),),
            unit="percentunit",
        ),
        Panel(
            title="Categories that training never saw",
            about="Share of the rows, by input.",
            queries=(Query(f"{unseen} / {rows_of}", "{{feature}}"),),
            unit="percentunit",
        ),
        Panel(
            title="Inputs not counted",
            about="So as to bound the number of series.",
            queries=(Query(f"max by (version) ({shown.of('ml_feature_untracked')})", BY_VERSION),),
            kind="stat",
        ),
    )
    return Row("Inputs", panels)


def _predictions(budgets: Budgets, shown: Scope) -> Row:
    window = drift.WINDOW
    by_bin = shown.total("ml_prediction_bin_total", WINDOW, by="version, bin")
    panels = (
        Panel(
            title="Predictions that moved",
            about=f"Population stability index over {window} against the predictions on the training data.",
            queries=(Query(shown.of(f"ml_prediction:psi_{window}"), "{{output}} ({{version}})"),),
            limit=budgets.drift.psi,
        ),
        Panel(
            title="Predictions by bin",
            about="A bin's name is its upper edge.",
            queries=(Query(by_bin, "{{bin}} ({{version}})"),),
            stacked=True,
        ),
        Panel(
            title="Share by bin, now and in training",
            about=f"Over {window}.",
            queries=(
                Query(shown.of(f"ml_prediction_bin:share_{window}"), "{{bin}} ({{version}}) now"),
                Query(shown.of("ml_prediction_bin:share_in_training"), "{{bin}} ({{version}}) in training"),
            ),
            kind="bargauge",
            unit="percentunit",
        ),
    )
    return Row("Predictions", panels)


def _shadow(budgets: Budgets, shown: Scope) -> Row:
    differing = shown.total("ml_shadow_rows_total", WINDOW, 'outcome="differing"')
    compared = shown.total("ml_shadow_rows_total", WINDOW, 'outcome="compared"')
    apart = f"histogram_quantile(0.95, {shown.total('ml_shadow_difference_bucket', WINDOW, by='le')})"
    took = f"histogram_quantile(0.95, {shown.total('ml_shadow_duration_seconds_bucket', WINDOW, by='le')})"
    panels = (
        Panel(
            title="The shadow decides otherwise",
            about="Share of the rows that it saw.",
            queries=(Query(f"{differing} / {compared}", "differing"),),
            unit="percentunit",
            limit=budgets.monitoring.shadow_disagreement,
        ),
        Panel(
            title="How far apart",
            about="95 of 100 outputs differ by no more.",
            queries=(Query(apart, "p95"),),
        ),
        Panel(
            title="Copies",
            about="What became of the copies of the model's calls; and whether the shadow is there.",
            queries=(
                Query(shown.total("ml_shadow_requests_total", WINDOW, by="outcome"), "{{outcome}}"),
                Query(f"sum({shown.of('ml_shadow_up')})", "shadows that are up"),
                Query(f"sum({shown.of('ml_shadow_refused')})", "shadows that were refused"),
                Query(f"sum(increase({shown.of('ml_shadow_restarts_total')}[1h]))", "restarts within an hour"),
            ),
        ),
        Panel(
            title="Time of the shadow's calls",
            about="95 of 100 take no longer; compare with the model's own (dashboard service, Time by stage).",
            queries=(Query(took, "p95"),),
            unit="s",
        ),
        Panel(
            title="What the shadow serves",
            about="The digest of its bundle.",
            queries=(Query(f"count by (digest) ({shown.of('ml_shadow_info')})", "{{digest}}"),),
            kind="table",
            width=16,
        ),
    )
    return Row("A shadow, where there is one", panels)


def _candidate(its: Scope) -> Row:
    """A shadow that is pods of its own, which the Gateway sends copies to (gitops/components/shadow)."""
    asked = its.total("ml_inference_requests_total", WINDOW, ASKED, by="version, code")
    grid = its.total("ml_prediction_grid_total", WINDOW, by="version, output, bin")
    panels = (
        Panel(
            title="A shadow's pods: answers",
            about="That nobody gets. As many as the service has requests (dashboard service), or it falls behind.",
            queries=(Query(asked, "{{code}} ({{version}})"),),
            unit="reqps",
        ),
        Panel(
            title="A shadow's pods: latency",
            about="99 of 100 come no later.",
            queries=(Query(quantile(its, 0.99, WINDOW, by="version"), BY_VERSION),),
            unit="s",
        ),
        Panel(
            title="A shadow's pods: predictions",
            about="In the same bins as those of the versions (dashboard rollout).",
            queries=(Query(grid, "{{output}} {{bin}} ({{version}})"),),
            stacked=True,
        ),
    )
    return Row("A shadow as pods of its own, where there is one", panels)
