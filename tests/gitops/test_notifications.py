"""What the cluster tells the forge, made by the controllers' own programs where they are on PATH."""

import json
import shutil
import subprocess

import pytest
import yaml

from tests.gitops.manifests import IMAGE, ROOT, RUNS, documents, of_kind, rollout
from tests.gitops.variants import Variant, rendered

ROLLOUTS = "kubectl-argo-rollouts"
SUBSCRIBED = "notifications.argoproj.io/subscribe."
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
users: [{name: none, user: {}}]
current-context: none
"""
KEYS = {"format", "event", "environment", "namespace", "rollout", "revision", "pod_hash", "image", "reason", "metrics"}


@pytest.fixture(scope="module")
def config():
    (found,) = of_kind(documents(ROOT / "gitops/platform/controllers/notifications"), "ConfigMap")
    return found


@pytest.fixture
def release():
    """A Rollout of staging as it is while a release runs."""
    found = json.loads(json.dumps(rollout(rendered(Variant("staging", "canary")))))
    found["metadata"].setdefault("annotations", {})["rollout.argoproj.io/revision"] = "3"
    found["status"] = {
        "currentPodHash": "6d5f",
        "currentStepIndex": 1,
        "pauseConditions": [{"reason": "CanaryPauseStep"}],
    }
    return found


@pytest.fixture
def program(tmp_path, config, release):
    """Asks the command line of Argo Rollouts; `change` is made to the Rollout first."""
    if shutil.which(ROLLOUTS) is None:
        pytest.skip(f"{ROLLOUTS} is not on PATH: templates and triggers were not run")
    files = {name: tmp_path / name for name in ("kubeconfig", "config.yaml", "rollout.yaml")}
    files["kubeconfig"].write_text(KUBECONFIG)
    files["config.yaml"].write_text(yaml.safe_dump(config))

    def ask(*words, change=lambda spec: None):
        change(release)
        files["rollout.yaml"].write_text(yaml.safe_dump(release))
        common = ["--config-map", files["config.yaml"], "--secret", ":empty", "--kubeconfig", files["kubeconfig"]]
        command = [ROLLOUTS, "notifications", *words, files["rollout.yaml"], *common]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return ask


@pytest.mark.parametrize("event", ["rollout-aborted", "rollout-waits"])
def test_the_payload_is_the_contract(program, release, event):
    webhook = yaml.safe_load(program("template", "notify", event))["webhook"]["github-dispatch"]
    assert webhook["method"] == "POST"
    assert webhook["path"] == "/repos/stdout/dispatches"  # the program's own recipient
    body = json.loads(webhook["body"])
    assert set(body) == {"event_type", "client_payload"}
    payload = body["client_payload"]
    assert set(payload) == KEYS
    assert body["event_type"] == payload["event"] == event
    assert (payload["format"], payload["environment"], payload["revision"]) == (1, "staging", "3")
    assert payload["namespace"] == release["metadata"]["namespace"]
    assert payload["image"] == f"{IMAGE}:{RUNS}"
    assert payload["metrics"] == []
    assert payload["reason"]


def test_nothing_that_stands_in_a_rollout_can_add_to_the_payload(program):
    def hostile(document):
        document["spec"]["template"]["spec"]["containers"][0]["image"] = '"}, "event_type": "other", "x": {"'

    body = json.loads(
        yaml.safe_load(program("template", "notify", "rollout-aborted", change=hostile))["webhook"]["github-dispatch"][
            "body"
        ]
    )
    assert body["event_type"] == "rollout-aborted"
    assert set(body["client_payload"]) == KEYS


def canary(**fields):
    return lambda document: document["spec"]["strategy"].update(canary=fields)


def running(change):
    """The same, before it pauses or after it has gone on: a condition is held against every change of a Rollout."""

    def both(document):
        change(document)
        del document["status"]["pauseConditions"]

    return both


def bluegreen(**fields):
    return lambda document: document["spec"].update(strategy={"blueGreen": fields})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (canary(steps=[{"setWeight": 5}, {"pause": {}}]), True),
        (canary(steps=[{"setWeight": 5}, {"pause": {"duration": "5m"}}]), False),
        (canary(steps=[{"setWeight": 5}, {"analysis": {"templates": []}}]), False),
        (canary(steps=[{"setWeight": 5}]), False),
        (canary(), False),
        (bluegreen(autoPromotionEnabled=False), True),
        (bluegreen(autoPromotionEnabled=True), False),
        (bluegreen(), False),
        (running(canary(steps=[{"setWeight": 5}, {"pause": {}}])), False),
        (running(bluegreen(autoPromotionEnabled=False)), False),
        (lambda document: document.update(status={}), False),
    ],
)
def test_only_a_pause_that_does_not_end_by_itself_is_told(program, change, told):
    assert ("true" in program("trigger", "run", "on-rollout-paused", change=change)) is told


def test_both_events_are_the_same_but_for_their_name(config):
    aborted, waits = (config["data"][f"template.{name}"] for name in ("rollout-aborted", "rollout-waits"))
    other = waits.replace("rollout-waits", "rollout-aborted")
    different = [pair for pair in zip(aborted.splitlines(), other.splitlines(), strict=True) if pair[0] != pair[1]]
    assert all('"reason"' in line for pair in different for line in pair)
    assert len(different) == 1


def test_the_token_is_a_reference(config):
    service = yaml.safe_load(config["data"]["service.webhook.github-dispatch"])
    assert {h["name"]: h["value"] for h in service["headers"]}["Authorization"] == "Bearer $github-token"
    assert service["url"].startswith("https://")


def test_a_rollout_subscribes_to_what_is_configured_and_to_all_of_it(config):
    annotations = rollout(rendered(Variant("staging", "canary")))["metadata"].get("annotations", {})
    subscribed = {key.removeprefix(SUBSCRIBED): value for key, value in annotations.items() if SUBSCRIBED in key}
    triggers = {key.removeprefix("trigger.") for key in config["data"] if key.startswith("trigger.")}
    assert set(subscribed) == {f"{trigger}.github-dispatch" for trigger in triggers}
    repository = of_kind(documents(ROOT / "gitops/argocd"), "AppProject")[0]["spec"]["sourceRepos"][0]
    assert all(repository.removesuffix(".git").endswith(f"/{recipient}") for recipient in subscribed.values())
