"""Every alert: it is quiet while all is well, fires when it must, and ends when it is over. Run by promtool."""

import json

import pytest
from msgspec import Struct

from bench.monitoring import detection, rendered
from release.derived.promql import SERVER

NAMESPACE = rendered.read("production").namespace
DAY = 86_400


class Story(Struct, frozen=True):
    """Series over time, one value a minute, and when the alert is quiet, fires, and is quiet again."""

    series: dict[str, str]
    quiet: str
    fires: str
    ends: str
    evaluated: str = "1m"


def own(metric, /, **labels):
    """A series of the environment; of a server: of a pod that has the Rollout's hash."""
    if SERVER.fullmatch(metric):
        labels = {"rollouts_pod_template_hash": "abc"} | labels
    pairs = ",".join(f'{name}="{value}"' for name, value in {"namespace": NAMESPACE, **labels}.items())
    return f"{metric}{{{pairs}}}"


def model_pod(metric, pod="model-1", **labels):
    return own(metric, pod=pod, **labels)


def phase(name):
    return own("rollout_info", name="model", strategy="canary", traffic_router="", phase=name)


def drifting(metric, what):
    """An hour as in training, two hours all in one bin, then as in training again."""
    labels = {"model": "m", "version": "1", "pod": "model-1", what: "age"}
    return Story(
        series={
            own(f"{metric}_bin_total", bin="0.0", **labels): "0+50x60 3100+100x120 15150+50x900",
            own(f"{metric}_bin_total", bin="+Inf", **labels): "0+50x60 3000x120 3050+50x900",
            own(f"{metric}_bin_total", bin="__missing__", **labels): "0x1100",
            own(f"{metric}_reference_ratio", bin="0.0", **labels): "0.5x1100",
            own(f"{metric}_reference_ratio", bin="+Inf", **labels): "0.5x1100",
            own(f"{metric}_reference_ratio", bin="__missing__", **labels): "0x1100",
        },
        quiet="1h",
        fires="3h10m",
        ends="17h",
        evaluated="2m",  # its group's own interval, which promtool passes over
    )


def gauge(selector, fine, bad, minutes=200):
    """A gauge that is fine for a while, bad for as long, fine again."""
    return Story(
        {selector: f"{fine}x{minutes} {bad}x{minutes} {fine}x{minutes}"},
        quiet=f"{minutes}m",
        fires=f"{2 * minutes}m",
        ends=f"{3 * minutes}m",
    )


def phases(other, bad_minutes, *more):
    """A Rollout that is Completed, then in another phase, then Completed."""
    return Story(
        {
            phase("Completed"): f"1x10 stale _x{bad_minutes - 1} 1x30",
            phase(other): f"_x11 1x{bad_minutes - 1} stale",
            **dict(more),
        },
        quiet="10m",
        fires=f"{10 + bad_minutes}m",
        ends=f"{20 + bad_minutes}m",
    )


FLOOR = own("analysis_run_metric_phase", name="model-1", metric="traffic-floor", phase="Running", type="Prometheus")
SHADOW = {"pod": "model-shadow-1", "rollouts_pod_template_hash": ""}
INFER = {"route": "infer", "model": "m", "version": "1", "pod": "model-1"}
STORIES = {
    "AvailabilityBudgetBurns": Story(
        {
            own("ml_inference_requests_total", code="200", **INFER): "0+600x60 36480+480x10 41400+600x500",
            own("ml_inference_requests_total", code="500", **INFER): "_x61 120+120x9 1200x501",
        },
        quiet="60m",
        fires="70m",
        ends="9h",  # the tickets; the page ends half an hour after the last failure
    ),
    "LatencyBudgetBurns": Story(
        {
            own("ml_inference_duration_seconds_count", **INFER): "0+600x600",
            own("ml_inference_duration_seconds_bucket", le="0.1", **INFER): "0+600x60 36060+60x19 37800+600x520",
        },
        quiet="60m",
        fires="80m",
        ends="9h",
    ),
    "FeatureDrift": drifting("ml_feature", "feature"),
    "PredictionDrift": drifting("ml_prediction", "output"),
    "LabelsLate": gauge(own("ml_label_lag_seconds", model="m"), 13 * DAY, 15 * DAY),
    "ModelOld": gauge(own("ml_model_age_seconds", model="m", version="1"), 89 * DAY, 91 * DAY),
    "ModelMetricsAbsent": Story({own("ml_model_info", version="1"): "1x10 stale _x15 1x30"}, "10m", "25m", "35m"),
    "PodNotScraped": gauge(model_pod("up"), 1, 0, 20),
    "WorkersRestart": Story(
        {
            own("ml_worker_restarts_total", pod="model-1"): "0x60 1 2 3 4x100",
            # A container that begins anew four times: its counter falls.
            model_pod("process_cpu_seconds_total", "model-2"): "0+6x60 0 6 0 6 0 6 0+6x100",
        },
        quiet="60m",
        fires="67m",
        ends="120m",
    ),
    "RequestsRefused": Story(
        {own("ml_inference_rejected_total", reason="overloaded", pod="model-1"): "0x30 0+60x20 1200x40"},
        quiet="30m",
        fires="45m",
        ends="65m",
    ),
    "CpuSaturated": Story(
        {model_pod("process_cpu_seconds_total"): "0+30x60 1854+54x40 4044+30x60"},
        quiet="60m",
        fires="95m",
        ends="120m",
    ),
    "MemoryNearLimit": gauge(model_pod("process_resident_memory_bytes"), 100 * 2**20, 450 * 2**20, 30),
    "InFlightHigh": gauge(model_pod("ml_inference_inflight"), 4, 12, 30),
    "AtMaximumReplicas": Story(
        {
            **{model_pod("up", f"model-{number}"): "1x200" for number in range(8)},
            model_pod("process_cpu_seconds_total"): "0+30x60 1854+54x40 4044+30x60",
        },
        quiet="60m",
        fires="95m",
        ends="120m",
    ),
    "CostAboveBudget": Story(
        {
            **{model_pod("up", f"model-{number}"): "1x1000" for number in range(2)},
            **{model_pod("up", f"model-{number}"): "_x60 1x300 stale" for number in range(2, 8)},
        },
        quiet="60m",
        fires="6h",
        ends="16h",
    ),
    "RolloutMetricsAbsent": Story({phase("Completed"): "1x10 stale _x25 1x60"}, "10m", "35m", "45m"),
    "RolloutAborted": phases("Abort", 10),
    "RolloutBroken": phases("InvalidSpec", 12),
    "RolloutStuck": phases("Progressing", 30),
    "CanaryWaits": phases(
        "Paused", 20, (own("analysis_run_info", name="model-2-1", phase="Inconclusive"), "_x11 1x50")
    ),
    "ReplicasMissing": Story(
        {
            own("rollout_info_replicas_desired", name="model"): "2x100",
            own("rollout_info_replicas_available", name="model"): "2x30 1x30 2x40",
        },
        quiet="30m",
        fires="60m",
        ends="70m",
    ),
    "ShadowDisagrees": Story(
        {
            own("ml_shadow_rows_total", outcome="compared", model="m", version="1"): "0+600x400",
            own("ml_shadow_rows_total", outcome="differing", model="m", version="1"): "0+6x90 600+60x60 4206+6x200",
        },
        quiet="90m",
        fires="150m",
        ends="260m",
    ),
    "ShadowDown": gauge(own("ml_shadow_up", pod="model-1"), 1, 0, 30),
}
# Everything is well for a long time, and some things look odd: nobody is called.
QUIET = {
    "one failure among few requests is not a page": (
        "AvailabilityBudgetBurns",
        {
            own("ml_inference_requests_total", code="200", **INFER): "0+1x200",
            own("ml_inference_requests_total", code="500", **INFER): "_x60 1x140",
        },
    ),
    "a client's own mistakes are not ours": (
        "AvailabilityBudgetBurns",
        {
            own("ml_inference_requests_total", code="200", **INFER): "0+60x200",
            own("ml_inference_requests_total", code="400", **INFER): "0+600x200",
        },
    ),
    "nobody asks, and nothing burns": (
        "AvailabilityBudgetBurns",
        {own("ml_inference_requests_total", code="200", **INFER): "100x200"},
    ),
    "ten rows are no distribution": (
        "FeatureDrift",
        {
            own("ml_feature_bin_total", feature="age", bin="0.0", model="m", version="1"): "0+0.05x200",
            own("ml_feature_bin_total", feature="age", bin="+Inf", model="m", version="1"): "0x200",
            own("ml_feature_reference_ratio", feature="age", bin="0.0", model="m", version="1"): "0.5x200",
            own("ml_feature_reference_ratio", feature="age", bin="+Inf", model="m", version="1"): "0.5x200",
        },
    ),
    "a canary that waits for traffic is not stuck": (
        "RolloutStuck",
        {phase("Progressing"): "1x200", FLOOR: "1x200"},
    ),
    "a canary that waits for traffic is given time": ("CanaryWaits", {FLOOR: "1x59"}),
    "as many replicas as may be, without work": (
        "AtMaximumReplicas",
        {
            **{model_pod("up", f"model-{number}"): "1x200" for number in range(8)},
            model_pod("process_cpu_seconds_total"): "0+6x200",
        },
    ),
    "a controller that has to write again now and then": (
        "RolloutBroken",
        {own("rollout_reconcile_error", name="model"): "0+0.8x200"},
    ),
    "another model's trouble is not ours": (
        "RolloutAborted",
        {phase("Abort").replace(NAMESPACE, "somebody-else"): "1x200"},
    ),
    "a shadow's pod fails, and answers nobody": (
        "AvailabilityBudgetBurns",
        {
            own("ml_inference_requests_total", code="200", **INFER): "0+60x200",
            own("ml_inference_requests_total", code="500", **INFER | SHADOW): "0+60x200",
            own("ml_inference_rejected_total", reason="no_finite_answer", **SHADOW): "0+60x200",
        },
    ),
    "a shadow's pod is slow": (
        "LatencyBudgetBurns",
        {
            own("ml_inference_duration_seconds_count", **INFER): "0+600x200",
            own("ml_inference_duration_seconds_bucket", le="0.1", **INFER): "0+600x200",
            own("ml_inference_duration_seconds_count", **INFER | SHADOW): "0+600x200",
            own("ml_inference_duration_seconds_bucket", le="0.1", **INFER | SHADOW): "0x200",
        },
    ),
    "a shadow's pod is no replica": (
        "AtMaximumReplicas",
        {
            **{model_pod("up", f"model-{number}"): "1x200" for number in range(7)},
            own("up", **SHADOW): "1x200",
            model_pod("process_cpu_seconds_total"): "0+60x200",
        },
    ),
    "a shadow that saw ten rows": (
        "ShadowDisagrees",
        {
            own("ml_shadow_rows_total", outcome="compared", model="m", version="1"): "0+0.05x200",
            own("ml_shadow_rows_total", outcome="differing", model="m", version="1"): "0+0.05x200",
        },
    ),
}


@pytest.fixture
def firing(needs, production, tmp_path):
    """What fires at which time, of one alert, with these series: whether promtool agrees."""
    needs("promtool")

    def firing(alert, series, expected, evaluated="1m"):
        rules = production.only(alert)
        file = rendered.write(rules, tmp_path / "rules.yml")
        tests = [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        "expr": f'group(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                        "eval_time": time,
                        "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
                    }
                    for time, fires in expected.items()
                ],
            }
        ]
        document = {
            "rule_files": [file.name],
            "evaluation_interval": evaluated,
            "group_eval_order": [group["name"] for group in rules.groups],
            "tests": tests,
        }
        (tmp_path / "test.yml").write_text(json.dumps(document))
        said = detection.promtool(tmp_path / "test.yml")
        assert "SUCCESS" in said, said

    return firing


@pytest.mark.parametrize("alert", STORIES)
def test_it_is_quiet_and_fires_and_ends(firing, alert):
    story = STORIES[alert]
    firing(alert, story.series, {story.quiet: False, story.fires: True, story.ends: False}, story.evaluated)


@pytest.mark.parametrize(("alert", "series"), QUIET.values(), ids=QUIET)
def test_nobody_is_called_when(firing, alert, series):
    firing(alert, series, {"30m": False, "55m": False, "3h": False})


def test_a_canary_that_found_no_traffic_calls_a_person(firing):
    firing("CanaryWaits", {FLOOR: "1x90"}, {"55m": False, "65m": True})


def test_a_release_that_is_paused_for_longer_than_any_step_calls_a_person(firing):
    firing("CanaryWaits", {phase("Paused"): "1x200"}, {"60m": False, "80m": True})


def test_errors_that_go_on_in_the_controller_are_a_broken_rollout(firing):
    errors = own("rollout_reconcile_error", name="model")
    firing("RolloutBroken", {errors: "0x10 0+2x30"}, {"10m": False, "35m": True})


def test_answers_without_a_number_burn_the_budget_like_errors(firing):
    series = {
        own("ml_inference_requests_total", code="200", **INFER): "0+500x120",
        own("ml_inference_requests_total", code="422", **INFER): "0x60 0+100x60",
        own("ml_inference_rejected_total", reason="no_finite_answer", pod="model-1"): "0x60 0+100x60",
    }
    firing("AvailabilityBudgetBurns", series, {"60m": False, "75m": True})


def test_a_total_outage_of_a_service_that_few_ask_is_a_page(firing):
    series = {own("ml_inference_requests_total", code="503", **INFER): "0+1x60"}
    firing("AvailabilityBudgetBurns", series, {"5m": False, "15m": True})


def test_every_alert_has_its_story(production):
    assert set(STORIES) == {rule["alert"] for rule in production.alerts}
