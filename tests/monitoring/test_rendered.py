"""What is rendered: valid rules, the same bytes every time, numbers from the budgets, names from gitops/."""

import json
import re
import subprocess

import pytest
import yaml
from msgspec import structs

from bench.monitoring import rendered
from contracts import budgets
from contracts.errors import InputError
from release.derived import identity, monitoring, objectives, panels
from release.derived.promql import Scope
from release.derived.quantities import number
from tests.gitops.manifests import ENVIRONMENTS, ROOT


@pytest.fixture
def budget():
    return budgets.load(ROOT / "conf/base/budgets.yml", "production")


@pytest.fixture
def whose():
    return identity.read(ROOT, "production")


@pytest.fixture
def rules(whose):
    """The rules for other budgets, by name."""

    def rules(budget):
        text = monitoring.files(budget, whose)["monitoring/rules.yaml"]
        found = {}
        for group in yaml.safe_load(text)["spec"]["groups"]:
            for rule in group["rules"]:
                found.setdefault(rule.get("alert") or rule["record"], []).append(rule)
        return found

    return rules


def changed(budget, section, **values):
    return structs.replace(budget, **{section: structs.replace(getattr(budget, section), **values)})


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_rules_are_valid(needs, environment, tmp_path):
    needs("promtool")
    file = rendered.write(rendered.read(environment), tmp_path / "rules.yml")
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint=all", "--lint-fatal", str(file)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_broken_rule_is_seen(needs, production, tmp_path):
    needs("promtool")
    file = rendered.write(production, tmp_path / "rules.yml")
    file.write_text(file.read_text().replace("sum(rate(", "sum(rat(", 1))
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode != 0


def test_the_same_budgets_give_the_same_bytes(budget, whose):
    assert monitoring.files(budget, whose) == monitoring.files(budget, whose)


def test_every_query_of_an_environment_speaks_of_its_namespace(seen):
    own = f'namespace="{seen.namespace}"'
    queries = [rule["expr"] for group in seen.groups for rule in group["rules"]]
    for board in seen.dashboards.values():
        queries += [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    for query in queries:
        assert query.count("{") == query.count(own), query


@pytest.mark.parametrize(
    ("alert", "section", "values", "piece"),
    [
        ("AvailabilityBudgetBurns", "service", {"availability": 0.99}, "> 0.144\n"),
        ("AvailabilityBudgetBurns", "objectives", {"window_days": 15}, "> 0.0072\n"),
        ("FeatureDrift", "drift", {"psi": 0.4}, "> 0.4\n"),
        ("PredictionDrift", "drift", {"minimum_rows": 700}, ">= 700"),
        ("ModelOld", "monitoring", {"model_age_days": 10}, "> 864000"),
        ("LabelsLate", "monitoring", {"label_lag_days": 2}, "> 172800"),
        ("CpuSaturated", "scaling", {"cpu": "500m"}, "/ 0.5 >"),
        ("MemoryNearLimit", "scaling", {"memory": "1Gi"}, "/ 1073741824 >"),
        ("InFlightHigh", "scaling", {"inflight_per_replica": 3}, "> 3"),
        ("AtMaximumReplicas", "scaling", {"maximum_replicas": 20}, ">= 20"),
        ("CostAboveBudget", "cost", {"monthly_budget": 77.0}, "> 77"),
        ("ShadowDisagrees", "monitoring", {"shadow_disagreement": 0.2}, "> 0.2\n"),
    ],
)
def test_a_budget_decides(rules, budget, alert, section, values, piece):
    before, after = rules(budget)[alert], rules(changed(budget, section, **values))[alert]
    assert not any(piece in rule["expr"] for rule in before)
    assert any(piece in rule["expr"] for rule in after)


def test_the_latency_that_is_promised_is_the_bound_that_is_counted(rules, budget):
    record = rules(changed(budget, "service", latency_p99_ms=20.0))["slo:sli_error:rate5m"]
    assert any('le="0.02"' in rule["expr"] for rule in record)


def test_patience_and_deadline_decide_when_a_release_is_talked_about(rules, budget):
    other = changed(budget, "canary", patience_minutes=5.0, progress_deadline_seconds=400)
    found = rules(other)
    assert [rule["for"] for rule in found["CanaryWaits"] if rule["labels"]["reason"] == "traffic"] == ["300s"]
    assert [rule["for"] for rule in found["RolloutStuck"]] == ["800s"]


def test_an_objective_that_could_never_burn_is_refused(budget):
    loose = changed(budget, "service", availability=0.9)
    with pytest.raises(InputError, match=r"availability: of a target of 0\.9 nothing can burn 14\.4 times"):
        objectives.of(loose, Scope("x"))


def test_pages_come_from_where_argo_cd_reads_the_repository(production, whose):
    (spec,) = [
        document["spec"]["template"]["spec"]["source"]
        for document in yaml.safe_load_all((ROOT / "gitops/argocd/applicationset.yaml").read_text())
        if document
    ]
    assert whose.pages == f"{spec['repoURL'].removesuffix('.git')}/blob/{spec['targetRevision']}"


def test_dashboards_have_ids_and_places_of_their_own(seen):
    titles = [board["title"] for board in seen.dashboards.values()]
    assert len(set(titles)) == 4
    for board in seen.dashboards.values():
        assert "uid" not in board
        assert [panel["id"] for panel in board["panels"]] == list(range(1, len(board["panels"]) + 1))
        taken = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            assert max(x for x, _ in cells) < panels.COLUMNS
            taken |= cells


def test_a_dashboard_is_sorted_json_that_only_a_render_changes(production):
    place = rendered.folder(ROOT, "production")
    for file in place.glob("dashboard-*.yaml"):
        config = yaml.safe_load(file.read_text())
        assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
        ((_, text),) = config["data"].items()
        board = json.loads(text)
        assert text == json.dumps(board, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        assert board["editable"] is False


def test_the_pod_monitor_takes_the_hash_over_from_the_pod(budget, whose):
    document = yaml.safe_load(monitoring.files(budget, whose)["monitoring/podmonitor.yaml"])
    assert document["spec"]["podTargetLabels"] == ["rollouts-pod-template-hash"]
    (endpoint,) = document["spec"]["podMetricsEndpoints"]
    assert endpoint == {"port": "management", "path": "/metrics", "interval": "15s"}


def test_what_a_shadow_s_pods_export_is_asked_for_in_their_own_row_alone(seen):
    """They have no hash, and everything else asks for pods that have one: what recording rules give has no pods."""
    expressions = {rule.get("alert") or rule["record"]: rule["expr"] for rule in (*seen.alerts, *seen.records)}
    boards = {
        panel["title"]: target["expr"]
        for board in seen.dashboards.values()
        for panel in board["panels"]
        for target in panel.get("targets", [])
    }
    variables = {
        f"{board['title']} ${one['name']}": one["query"]["query"]
        for board in seen.dashboards.values()
        for one in board["templating"]["list"]
        if one["type"] == "query"
    }
    theirs = set()
    for title, expression in (expressions | boards | variables).items():
        for matchers in re.findall(r"\b(?:up|(?:ml|process)_\w+)\{([^}]*)\}", expression):
            if 'rollouts_pod_template_hash=""' in matchers:
                theirs.add(title)
            else:
                assert 'rollouts_pod_template_hash!=""' in matchers, title
    assert len(theirs) == 3
    assert all(title.startswith("A shadow's pods: ") for title in theirs)


@pytest.mark.parametrize(("text", "value"), [("2", 2), ("500m", 0.5), ("512Mi", 2**29), ("1.5Gi", 1.5 * 2**30)])
def test_a_quantity_is_a_number(text, value):
    assert number(text, "here") == value


@pytest.mark.parametrize("text", ["", "lots", "0", "1 Gi", "-1"])
def test_no_quantity_is_refused_with_its_place(text):
    with pytest.raises(InputError, match=r"scaling\.cpu"):
        number(text, "scaling.cpu")
