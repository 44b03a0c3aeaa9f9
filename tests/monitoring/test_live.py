"""The real thing: a real Prometheus on the real server, with a canary beside it, evaluates everything that is rendered.

Every query, variable and expression must return data, or be listed in `NOT_HERE` with the reason why it cannot.
"""

import itertools
import math
import re
import time
from functools import partial
from pathlib import Path

import pytest

from bench.monitoring import prometheus, scene
from bench.monitoring.scene import Scene, Traffic

HERE = Path(__file__).parent
CONTROLLER = [file.read_text() for file in sorted((HERE / "controller").glob("*.prom"))]
SCRAPES = 25  # of each target, one a second, before anything is asked
WINDOW = "10s"
# Metric -> why nothing can export it in this test. What is in here and does return data fails the test, too.
NOT_HERE = {
    "ml_label_lag_seconds": "comes from the monitoring pipeline, which does not exist yet",
    "notification_send_error": "the controller has no such series before a notification could not be sent",
}


@pytest.fixture(scope="module")
def watched(needs, production, tmp_path_factory):
    """A Prometheus that has watched two versions for a while."""
    needs("prometheus")
    # Every scrape finds the Rollout in the next state, so that all of them were seen.
    controller = partial(next, itertools.cycle(CONTROLLER))
    stable = Traffic(requests=40, failing=0.02, numberless=0.02)
    canary = Traffic(requests=20, failing=0.1, warmer=2.0)
    with scene.playing(Scene(stable, canary, controller), production, tmp_path_factory.mktemp("watched")) as found:
        found.wait_for(f"min(count_over_time(up[5m])) >= {SCRAPES}")
        yield found


def selectors(watched, expression):
    """The selectors of an expression, as name and text."""
    for node in watched.parts(expression):
        if node["type"] in ("vectorSelector", "matrixSelector"):
            pairs = [f'{m["name"]}{m["type"]}"{m["value"]}"' for m in node["matchers"] if m["name"] != "__name__"]
            yield node["name"], f"{node['name']}{{{','.join(pairs)}}}"


def reason(watched, expression):
    """Why an expression cannot have data here; None: it has to."""
    return next((NOT_HERE[name] for name, _ in selectors(watched, expression) if name in NOT_HERE), None)


def targets(board):
    """The queries of a dashboard, by where they stand."""
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield f"{board['title']}: {panel['title']} {target['refId']}", target["expr"]


def test_every_variable_has_values(watched, production):
    found = [prometheus.choices(board, watched) for board in production.dashboards.values()]
    assert {name for chosen in found for name in chosen} == {"version", "feature"}
    assert all(values for chosen in found for values in chosen.values())


def test_every_dashboard_query_returns_data(watched, production):
    empty, end = {}, time.time()
    begin = end - 2 * len(CONTROLLER)  # the Rollout has been in each of its states meanwhile
    for board in production.dashboards.values():
        chosen = prometheus.choices(board, watched)
        for place, expression in targets(board):
            query = prometheus.filled(expression, chosen, WINDOW)
            found = watched.over(query, begin, end, 1.0)
            if not any(math.isfinite(float(value)) for series in found for _, value in series["values"]):
                empty[place] = (query, reason(watched, query))
    assert {name: why for name, (_, why) in empty.items() if why is None} == {}, empty


def test_every_recording_rule_has_recorded(watched, production):
    for rule in production.records:
        pairs = ",".join(f'{name}="{value}"' for name, value in rule["labels"].items())
        assert watched.now(f"{rule['record']}{{{pairs}}}"), rule["record"]


def test_no_rule_fails(watched):
    groups = watched.ask("rules")["groups"]
    broken = [(rule["name"], rule["lastError"]) for group in groups for rule in group["rules"] if rule.get("lastError")]
    assert groups
    assert broken == []


def test_every_selector_of_every_alert_finds_series(watched, production):
    """An alert that is quiet returns nothing; what it looks at must be there all the same."""
    missing = {}
    for rule in production.alerts:
        for name, selector in selectors(watched, rule["expr"]):
            if not watched.now(f"last_over_time({selector}[1m])") and name not in NOT_HERE:
                missing[f"{rule['alert']}: {selector}"] = rule["expr"]
    assert missing == {}


def test_what_is_listed_as_not_here_is_not_here(watched):
    for name in NOT_HERE:
        assert watched.now(name) == [], f"{name} is exported now: take it out of NOT_HERE"


def test_the_alerts_that_must_fire_here_do(watched):
    """Five in a hundred requests fail, so its budget burns; nothing else of what is wrong takes less than minutes."""
    firing = {alert["labels"]["alertname"] for alert in watched.ask("alerts")["alerts"] if alert["state"] == "firing"}
    assert "AvailabilityBudgetBurns" in firing


def test_the_index_is_the_one_that_the_gates_compute(watched, production):
    """The stability index in PromQL against its definition, on the same counts."""
    counts, shares = {}, {}
    own = f'namespace="{production.namespace}",version="1",feature="warmth"'
    # At one moment: the servers go on counting.
    at = time.time()
    for into, metric in ((counts, "ml_feature_bin:rows_1d"), (shares, "ml_feature_bin:share_in_training")):
        for series in watched.ask("query", query=f"{metric}{{{own}}}", time=at)["result"]:
            into[series["metric"]["bin"]] = float(series["value"][1])
    (recorded,) = watched.ask("query", query=f"ml_feature:psi_1d{{{own}}}", time=at)["result"]
    used = [name for name in counts if counts[name] > 0 or shares[name] > 0.0001]
    total = sum(counts[name] + 0.5 for name in used)
    index = sum(
        ((counts[name] + 0.5) / total - shares[name]) * math.log((counts[name] + 0.5) / total / shares[name])
        for name in used
    )
    assert len(used) == 4
    assert float(recorded["value"][1]) == pytest.approx(index, rel=0.01)


def test_what_the_server_exports_is_looked_at(watched, production):
    looked_at = {rule["expr"] for group in production.groups for rule in group["rules"]}
    for board in production.dashboards.values():
        chosen = prometheus.choices(board, watched)
        looked_at |= {prometheus.filled(expression, chosen, WINDOW) for _, expression in targets(board)}
    used = {name for expression in looked_at for name, _ in selectors(watched, expression)}
    exported = {name for name in watched.ask("label/__name__/values") if re.match(r"(ml|process)_\w+$", name)}
    parts = re.compile(r"_(bucket|sum|count)$")
    assert {parts.sub("", name) for name in exported} - {parts.sub("", name) for name in used} == set()


def test_what_is_said_of_an_alert_is_a_sentence(watched):
    """A template that cannot be expanded says so in the text, and nowhere else."""
    said = [alert["annotations"] for alert in watched.ask("alerts")["alerts"]]
    assert {"ModelOld", "FeatureDrift"} & {alert["labels"]["alertname"] for alert in watched.ask("alerts")["alerts"]}
    for annotations in said:
        for text in annotations.values():
            assert not re.search(r"error expanding|\{\{|%!|<no value>", text), text
