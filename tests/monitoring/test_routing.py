"""Whom an alert reaches, in the example that gitops/platform ships. Asked of amtool; the alerts are the rendered ones."""

import subprocess

import pytest
import yaml

from bench.monitoring import rendered
from tests.gitops.manifests import ENVIRONMENTS, ROOT

CONFIGURATION = ROOT / "gitops/platform/alertmanager/alertmanager.yml"
ALERTS = {
    f"{environment}: {rule['alert']} ({rule['labels'].get('long', rule['labels']['severity'])})": rule["labels"]
    | {"alertname": rule["alert"]}
    for environment in ENVIRONMENTS
    for rule in rendered.read(environment).alerts
}


@pytest.fixture(scope="module")
def amtool(needs):
    needs("amtool")

    def amtool(*arguments):
        return subprocess.run(["amtool", *arguments], capture_output=True, text=True, check=False)

    return amtool


@pytest.fixture(scope="module")
def reached(amtool):
    def reached(labels):
        pairs = [f"{name}={value}" for name, value in labels.items()]
        done = amtool("config", "routes", "test", "--config.file", str(CONFIGURATION), *pairs)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return reached


def test_the_configuration_is_valid(amtool):
    done = amtool("check-config", str(CONFIGURATION))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("labels", ALERTS.values(), ids=ALERTS)
def test_an_alert_reaches_its_owner_as_its_severity_says(reached, labels):
    how = "pager" if labels["severity"] == "page" and labels["environment"] == "production" else "issues"
    assert reached(labels) == f"{labels['owner']}-{how}"


def test_an_alert_without_an_owner_wakes_nobody(reached):
    assert reached({"alertname": "Foreign", "severity": "page"}) == "nobody-in-particular"


def test_inhibitions_name_alerts_that_there_are(production):
    configuration = yaml.safe_load(CONFIGURATION.read_text())
    named = {
        name
        for rule in configuration["inhibit_rules"]
        for matcher in rule["source_matchers"] + rule["target_matchers"]
        if matcher.startswith("alertname")
        for name in matcher.split('"')[1].split("|")
    }
    assert named
    assert named <= {rule["alert"] for rule in production.alerts}


def test_there_is_no_secret_in_it():
    receivers = yaml.safe_load(CONFIGURATION.read_text())["receivers"]
    webhooks = [hook for receiver in receivers for hook in receiver.get("webhook_configs", [])]
    assert webhooks
    assert all(set(hook) == {"url_file", "send_resolved"} for hook in webhooks)
