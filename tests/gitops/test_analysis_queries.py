"""The queries of the AnalysisTemplates, answered by Prometheus' own engine (`promtool test rules`) from series that are
written down: what the number is that each condition then judges.
"""

import math
import re
import shutil
import subprocess

import pytest
import yaml

from release.derived import analysis
from tests.gitops.budgeted import IDENTITY, budgeted

SCRAPE = 15
NEW = {"namespace": "ns", "pod": "new-1", "rollouts_pod_template_hash": "new"}
OLD = {"namespace": "ns", "pod": "old-1", "rollouts_pod_template_hash": "old"}
BOUNDS = ("0.02", "0.05", "0.1", "0.25", "10.0", "+Inf")
pytestmark = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not on PATH: queries not run")


@pytest.fixture(scope="module")
def queries():
    """Metric -> query, with the hashes filled in as the controller does."""
    written = analysis.files(budgeted(), IDENTITY)
    found = {}
    for name in (analysis.SLO, analysis.SHIFT, analysis.FLOOR, analysis.SEEN):
        for metric in yaml.safe_load(written[f"analysis/{name}.yaml"])["spec"]["metrics"]:
            query = metric["provider"]["prometheus"]["query"]
            found[metric["name"]] = query.replace("{{args.canary-hash}}", "new").replace("{{args.stable-hash}}", "old")
    assert not any("{{" in query for query in found.values())
    return found


def series(name, values, labels=NEW, **more):
    """One series of a scrape every 15 s; `values` in promtool's notation."""
    written = ",".join(f'{key}="{value}"' for key, value in {**labels, **more}.items())
    return {"series": f"{name}{{{written}}}", "values": values}


def info(labels=NEW):
    return series("ml_model_info", "1x80", labels)


def up(values, pod="new-1"):
    """Whether scrapes were answered. `stale`: the pod is gone."""
    return series("up", values, NEW | {"pod": pod})


def answers(values, code="200", labels=NEW, route="infer", **more):
    return series("ml_inference_requests_total", values, labels, route=route, code=code, **more)


def refused(values, reason):
    return series("ml_inference_rejected_total", values, reason=reason)


def durations(steps, labels=NEW):
    """Answers by bound and scrape, for ever: of each scrape so many within each bound."""
    total = 0
    for bound, step in zip(BOUNDS, steps, strict=True):
        total += step
        yield series("ml_inference_duration_seconds_bucket", f"0+{total}x80", labels, le=bound)


def predictions(steps, labels=NEW, output="probability"):
    return [
        series("ml_prediction_grid_total", f"0+{step}x80", labels, output=output, bin=f"0.{place}")
        for place, step in enumerate(steps, start=1)
    ]


def ask(folder, query, given, at):
    """The one number that the query gives at a second of the story: promtool says it when it expected another one."""
    file = folder / "test.yml"
    wrong = {"expr": query, "eval_time": f"{at}s", "exp_samples": [{"labels": "{}", "value": -123456}]}
    test = {"interval": f"{SCRAPE}s", "input_series": given, "promql_expr_test": [wrong]}
    file.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": f"{SCRAPE}s", "tests": [test]}))
    said = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    output = said.stdout + said.stderr
    (got,) = re.findall(r"got:\s*\n?(.*)", output)
    samples = re.findall(r"\{\} ([^\s,\]\"]+)", got)
    assert len(samples) == 1, output
    return float(samples[0])


HEALTHY = [info(), answers("0+10x80"), answers("0+0x80", "500"), *durations((8, 2, 0, 0, 0, 0))]
QUIET = {
    "success-rate": 1,
    "latency-p99": 0,
    "in-flight": 0,
    "scrape-lost": 0,
    "error-budget-burn": 0,
    "prediction-shift": 0,
}
EVEN, LATE, ONE = (10, 10, 10, 10), (1, 4, 15, 20), (0, 40, 0, 0)
MOVED = sum((late - even) / 40 * math.log(late / even) for late, even in zip(LATE, EVEN, strict=True))
# story -> (series, at which second or seconds, what each metric then is)
STORIES = {
    "nothing is scraped at all": ([], 300, {**QUIET, "traffic-floor": -1, "seen": 0}),
    "it is scraped, and nobody asks it": (
        [info(), answers("0x80"), answers("0x80", "500"), *durations((0,) * 6)],
        300,
        {**QUIET, "traffic-floor": 0, "seen": 1},
    ),
    "it was never asked, and has no series of answers yet": ([info()], 300, {**QUIET, "traffic-floor": 0}),
    "a probe is no request": ([info(), answers("0+10x80", route="ready")], 300, {**QUIET, "traffic-floor": 0}),
    "below the floor every second answer is bad, and nothing is judged": (
        [info(), answers("0+1x80"), answers("0+1x80", "500"), *durations((0, 0, 0, 0, 2, 0))],
        300,
        {**QUIET, "traffic-floor": 20},
    ),
    "too few in the window, but enough in its life: judged over its life": (
        [info(), answers("0+3x80"), answers("0+1x80", "500"), *durations((0, 0, 3, 1, 0, 0))],
        600,
        {"success-rate": 0.75, "latency-p99": 0.244, "traffic-floor": 120},
    ),
    "healthy": (HEALTHY, 300, {**QUIET, "latency-p99": 0.0485, "traffic-floor": 200, "seen": 1}),
    "1 of 20 is a 500": (
        [info(), answers("0+95x80"), answers("0+5x80", "500")],
        300,
        {"success-rate": 0.95, "traffic-floor": 1900},
    ),
    "all at once everything fails": (
        [info(), answers("0+100x20 2000x60"), answers("0x20 0+100x60", "503")],
        360,
        {"success-rate": 0.533, "error-budget-burn": 0},
    ),
    "it had an accident long ago": (
        [info(), answers("0+100x80"), answers("0 50x80", "500")],
        600,
        {"success-rate": 1, "traffic-floor": 4000},
    ),
    "it is overloaded": ([info(), answers("0+90x80"), answers("0+10x80", "503")], 300, {"success-rate": 0.9}),
    "the model has no number": (
        [info(), answers("0+90x80"), answers("0+10x80", "422"), refused("0+10x80", "no_finite_answer")],
        300,
        {"success-rate": 0.9},
    ),
    "clients send nonsense": (
        [info(), answers("0+90x80"), answers("0+10x80", "422"), refused("0+10x80", "invalid_input")],
        300,
        {"success-rate": 1, "traffic-floor": 1800},
    ),
    "it takes nothing of what clients send: it has no bad answers, and does not go on": (
        [info(), answers("0x80"), answers("0+100x80", "422"), refused("0+100x80", "invalid_input")],
        300,
        {**QUIET, "traffic-floor": 0},
    ),
    "the other dialect fails": (
        [info(), answers("0+90x80"), answers("0+10x80", "500", route="invocations")],
        300,
        {"success-rate": 0.9},
    ),
    "what others answer is not its fault": (
        [*HEALTHY, answers("0+100x80", "500", OLD), answers("0+100x80", "500", NEW | {"namespace": "elsewhere"})],
        300,
        {"success-rate": 1, "traffic-floor": 200},
    ),
    "two pods, one of them bad": (
        [info(), answers("0+90x80"), answers("0+10x80", "500", NEW | {"pod": "new-2"})],
        300,
        {"success-rate": 0.9},
    ),
    "a pod started again": ([info(), answers("0+100x15 0+100x60"), answers("0x80", "500")], 300, {"success-rate": 1}),
    "2 of 100 take longer than promised": (
        [info(), answers("0+100x80"), *durations((90, 8, 0, 2, 0, 0))],
        300,
        {"latency-p99": 0.175},
    ),
    "1 of 100 takes longer than promised": (
        [info(), answers("0+100x80"), *durations((90, 8, 1, 1, 0, 0))],
        300,
        {"latency-p99": 0.1},
    ),
    "answers take longer than any bound": (
        [info(), answers("0+100x80"), *durations((0, 0, 0, 0, 0, 100))],
        300,
        {"latency-p99": 10},
    ),
    "it hangs: asked, and hardly ever answers": (
        [info(), answers("0+1x80"), series("ml_inference_inflight", "250x80")],
        300,
        {"success-rate": 1, "latency-p99": 0, "in-flight": 250, "traffic-floor": 20},
    ),
    "one of two pods hangs": (
        [series("ml_inference_inflight", "2x80"), series("ml_inference_inflight", "60x80", NEW | {"pod": "new-2"})],
        300,
        {"in-flight": 60},
    ),
    "a burst is no hang": ([series("ml_inference_inflight", "1x15 100 1x60")], 300, {"in-flight": 107 / 8}),
    "its pods answer Prometheus": ([up("1x80"), up("1x80", "new-2")], 300, {"scrape-lost": 0}),
    "one of two pods hangs, for Prometheus too": ([up("1x10 0x70"), up("1x80", "new-2")], 240, {"scrape-lost": 1}),
    "it hung soon after its first scrape": ([up("1 0x80")], 105, {"scrape-lost": 1}),
    "it hangs, is started again by the kubelet, and hangs": ([up("1x5" + " 0 0 0 1" * 18)], 300, {"scrape-lost": 1}),
    "it misses every third scrape": ([up("1x5" + " 0 1 1" * 25)], 300, {"scrape-lost": 0}),
    "its container began anew": ([up("1x10 0 0 1x60")], 180, {"scrape-lost": 0}),
    "a pod that is added takes a minute to start": ([up("1x80"), up("0x4 1x70", "new-2")], 75, {"scrape-lost": 0}),
    "a pod that is added was never scraped yet": ([up("1x80"), up("0x80", "new-2")], 300, {"scrape-lost": 0}),
    "a pod left: its last two scrapes stand until Prometheus forgets it": (
        [up("1x80"), up("1x10 0 0 _ stale", "new-2")],
        [165, 180, 195, 209, 210, 240, 300],
        {"scrape-lost": 0},
    ),
    "a pod that was lost left": ([up("1x80"), up("1x10 0x8 stale", "new-2")], 300, {"scrape-lost": 0}),
    "Prometheus reached none of its pods, ever": ([up("0x80"), up("0x80", "new-2")], 300, {"scrape-lost": 2}),
    "Prometheus was away for two minutes": ([up("1x10 _x8 1x60")], [240, 285, 300, 360], {"scrape-lost": 0}),
    "it hung while Prometheus was away": ([up("1x10 _x8 0x60")], 300, {"scrape-lost": 1}),
    "pods of others are lost": (
        [up("1x80"), series("up", "1x10 0x70", OLD), series("up", "0x80", NEW | {"namespace": "elsewhere"})],
        300,
        {"scrape-lost": 0},
    ),
    "it bleeds slowly: no window is bad, all in all it is": (
        [info(), answers("0+996x80"), answers("0+4x80", "500")],
        300,
        {"success-rate": 0.996, "error-budget-burn": 4},
    ),
    "too few requests to tell a bleed from an accident": (
        [info(), answers("0+99x80"), answers("0+1x80", "500")],
        300,
        {"success-rate": 0.99, "error-budget-burn": 0},
    ),
    "it predicts as the stable one does": ([*predictions(EVEN), *predictions(EVEN, OLD)], 600, {"prediction-shift": 0}),
    "it predicts something else": ([*predictions(LATE), *predictions(EVEN, OLD)], 600, {"prediction-shift": MOVED}),
    "it predicts the same for everybody": (
        [*predictions(ONE), *predictions(EVEN, OLD)],
        600,
        {"prediction-shift": 0.75 * math.log(4) + 3 * 0.249 * math.log(250)},
    ),
    "what has no number is no bin of its own": (
        [
            *predictions(EVEN),
            *predictions(EVEN, OLD),
            series("ml_prediction_grid_total", "0+400x80", output="probability", bin="__missing__"),
            series("ml_prediction_grid_total", "0x80", OLD, output="probability", bin="__missing__"),
        ],
        600,
        {"prediction-shift": 0},
    ),
    "answers without a number are not predictions enough": (
        [
            *predictions((0, 0, 0, 10)),
            *predictions(EVEN, OLD),
            series("ml_prediction_grid_total", "0+400x80", output="probability", bin="__missing__"),
        ],
        600,
        {"prediction-shift": 0},
    ),
    "one of two outputs moved": (
        [
            *predictions(EVEN),
            *predictions(EVEN, OLD),
            *predictions(LATE, output="delay"),
            *predictions(EVEN, OLD, output="delay"),
        ],
        600,
        {"prediction-shift": MOVED},
    ),
    "too few predictions to compare": (
        [*predictions((0, 0, 0, 10)), *predictions(EVEN, OLD)],
        600,
        {"prediction-shift": 0},
    ),
    "nobody asks the stable one": (
        [*predictions(LATE), *predictions((0, 0, 0, 0), OLD)],
        600,
        {"prediction-shift": 0},
    ),
    "what the stable one predicted last month is not asked": (
        [
            *predictions(EVEN),
            *({**one, "values": f"{1000 * place}+10x80"} for place, one in enumerate(predictions(EVEN, OLD))),
        ],
        600,
        {"prediction-shift": 0},
    ),
}
CASES = [(story, metric) for story, (_, _, expected) in STORIES.items() for metric in expected]


@pytest.mark.parametrize(("story", "metric"), CASES, ids=[f"{story}: {metric}" for story, metric in CASES])
def test_the_number_that_is_judged(tmp_path, queries, story, metric):
    given, when, expected = STORIES[story]
    for at in when if isinstance(when, list) else [when]:
        assert ask(tmp_path, queries[metric], given, at) == pytest.approx(expected[metric], abs=0.002)
