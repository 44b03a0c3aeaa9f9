"""What a cluster gets: valid, current, and no more allowed than it needs."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.argo import manifests, settings
from pipelines.argo.__main__ import main
from pipelines.argo.dependencies import waits_for
from release import kustomize
from tests.argo.pipelines_of import CHAIN

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / "gitops" / "workflows"
SETTINGS = settings.load(ROOT / "conf" / "argo" / "workflow.yml")
ENV_ARGO = ROOT / "conf" / "argo"
POD_FIELDS = {"container", "script", "resource", "data", "containerSet", "http", "plugin"}


def load(name):
    return yaml.safe_load((WORKFLOWS / name).read_text())


@pytest.fixture(scope="module")
def template():
    return load("workflowtemplate.yaml")


@pytest.fixture(scope="module")
def pods(template):
    found = [step for step in template["spec"]["templates"] if POD_FIELDS & set(step)]
    assert found
    return found


@pytest.fixture(scope="module")
def built():
    """Built from small pipelines: side by side, with an underscore in a name."""
    parts = {**CHAIN, "side_show": CHAIN["report"]}
    return manifests.workflow_template(
        "some-model", "some-team", waits_for(CHAIN) | {"side_show": ("training",)}, SETTINGS
    ), parts


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """What kustomize makes of the folder once a promotion has named an image."""
    folder = tmp_path_factory.mktemp("gitops") / "workflows"
    shutil.copytree(WORKFLOWS, folder)
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    kustomization["images"][0]["newTag"] = "7@sha256:" + "a" * 64
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return list(yaml.safe_load_all(kustomize.find().build(folder)))


def of_kind(documents, kind):
    return [document for document in documents if document["kind"] == kind]


def test_what_is_committed_is_what_the_pipelines_compile_to():
    assert main(["--check", "--output", str(WORKFLOWS), "--conf-source", str(ROOT / "conf")]) == 0


def test_a_stale_file_is_named_and_left_alone(tmp_path, capsys):
    shutil.copy(WORKFLOWS / "workflowtemplate.yaml", tmp_path)
    (tmp_path / "cronworkflow.yaml").write_text("# edited by hand\n")
    assert main(["--check", "--output", str(tmp_path), "--conf-source", str(ROOT / "conf")]) == 1
    said = capsys.readouterr().err
    assert said == f"{tmp_path}/cronworkflow.yaml: is stale; run `make argo` and commit what it writes\n"
    assert (tmp_path / "cronworkflow.yaml").read_text() == "# edited by hand\n"


def test_another_process_compiles_the_same_bytes(tmp_path):
    command = [sys.executable, "-m", "pipelines.argo", "--output", str(tmp_path)]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cronworkflow.yaml", "workflowtemplate.yaml"]
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (WORKFLOWS / path.name).read_bytes()


def test_the_tasks_wait_for_each_other_as_the_pipelines_do(built):
    template, _ = built
    (dag,) = [step["dag"] for step in template["spec"]["templates"] if "dag" in step]
    waiting = {task["name"]: set(re.findall(r"[\w-]+", task.get("depends", ""))) for task in dag["tasks"]}
    assert waiting == {"ingestion": set(), "training": {"ingestion"}, "report": {"training"}, "side-show": {"training"}}
    assert template["spec"]["entrypoint"] in {step["name"] for step in template["spec"]["templates"] if "dag" in step}


def test_each_pod_runs_one_pipeline_in_the_argo_environment(built):
    template, _ = built
    run = {step["name"]: step["container"] for step in template["spec"]["templates"] if "container" in step}
    assert run["side-show"]["command"] == ["kedro", "run"]
    assert run["side-show"]["args"][:4] == ["--env", "argo", "--pipelines", "side_show"]
    assert set(run) == {"ingestion", "training", "report", "side-show"}


def test_no_container_may_more_than_it_needs(template, pods):
    spec = template["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] >= 10000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for pod in pods:
        container = pod["container"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        for kind in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(container["resources"][kind])
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert mounts == {"/srv/data": "data", "/tmp": "scratch"}
        assert "hostPath" not in json.dumps(pod)
    (scratch,) = [volume for volume in spec["volumes"] if volume["name"] == "scratch"]
    assert scratch["emptyDir"]["sizeLimit"]


def test_only_argos_own_containers_get_a_token_and_it_may_only_report(template, rendered):
    spec = template["spec"]
    assert spec["automountServiceAccountToken"] is False
    accounts = {account["metadata"]["name"]: account for account in of_kind(rendered, "ServiceAccount")}
    assert {spec["serviceAccountName"], spec["executor"]["serviceAccountName"]} == set(accounts)
    assert spec["serviceAccountName"] != spec["executor"]["serviceAccountName"]
    assert all(account["automountServiceAccountToken"] is False for account in accounts.values())
    (role,) = of_kind(rendered, "Role")
    rule = {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}
    assert role["rules"] == [rule]
    (binding,) = of_kind(rendered, "RoleBinding")
    namespace = load("kustomization.yaml")["namespace"]
    account = {"kind": "ServiceAccount", "name": spec["executor"]["serviceAccountName"], "namespace": namespace}
    assert binding["subjects"] == [account]
    (secret,) = of_kind(rendered, "Secret")
    assert secret["metadata"]["name"] == f"{spec['executor']['serviceAccountName']}.service-account-token"
    assert "data" not in secret
    assert "stringData" not in secret


def test_secrets_are_named_never_held(pods):
    for pod in pods:
        assert all(source["secretRef"]["optional"] for source in pod["container"]["envFrom"])
        assert "env" not in pod["container"]


def test_a_promoted_image_reaches_every_pod(rendered):
    (template,) = of_kind(rendered, "WorkflowTemplate")
    images = {step["container"]["image"] for step in template["spec"]["templates"] if "container" in step}
    (kustomized,) = load("kustomization.yaml")["images"]
    assert images == {f"{kustomized['newName']}:7@sha256:{'a' * 64}"}


def test_everything_the_pods_name_is_in_the_folder(rendered, template):
    spec = template["spec"]
    claims = {v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"] if "persistentVolumeClaim" in v}
    assert claims == {claim["metadata"]["name"] for claim in of_kind(rendered, "PersistentVolumeClaim")}
    (cron,) = of_kind(rendered, "CronWorkflow")
    assert cron["spec"]["workflowSpec"]["workflowTemplateRef"]["name"] == template["metadata"]["name"]
    (policy,) = of_kind(rendered, "NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= spec["podMetadata"]["labels"].items()


def test_only_errors_of_the_cluster_are_tried_again(pods):
    for pod in pods:
        retry = pod["retryStrategy"]
        assert (retry["retryPolicy"], retry["expression"]) == ("Always", manifests.CLUSTER_ERROR)
        assert retry["limit"] >= 1
    (pattern,) = re.findall(r'matches "([^"]+)"', manifests.CLUSTER_ERROR)
    ended_by_the_kubelet = [
        "Pod was terminated in response to imminent node shutdown.",
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 63Mi.",
        "Preempted in order to admit critical pod",
        "Evicted",
    ]
    ended_by_itself = ["main: Error (exit code 2)", "OOMKilled (exit code 137)", "Error (exit code 1)"]
    assert all(re.search(pattern, message) for message in ended_by_the_kubelet)
    assert not any(re.search(pattern, message) for message in ended_by_itself)
    assert 'lastRetry.status == "Error"' in manifests.CLUSTER_ERROR


def test_nothing_runs_or_stays_for_ever(template, pods):
    spec = template["spec"]
    assert spec["activeDeadlineSeconds"] == SETTINGS.deadline_minutes * 60
    assert all(0 < pod["activeDeadlineSeconds"] <= spec["activeDeadlineSeconds"] for pod in pods)
    assert set(spec["ttlStrategy"]) == {"secondsAfterSuccess", "secondsAfterFailure"}
    assert spec["podGC"]["strategy"] == "OnPodSuccess"


def test_two_workflows_never_write_to_the_volume_at_once(template):
    assert template["spec"]["synchronization"]["mutexes"]
    cron = load("cronworkflow.yaml")["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    assert "schedule" not in cron, "gone in Argo Workflows 4"
    assert cron["schedules"]
    assert cron["timezone"]
    assert cron["startingDeadlineSeconds"] > 0


def test_names_leave_room_for_what_argo_adds():
    longest = "x" * 40  # hooks/answers.py: SLUG_LENGTH
    cron = manifests.cron_workflow(longest, "team", SETTINGS)
    assert len(cron["metadata"]["name"]) <= 52, "Argo adds a time stamp to make a workflow's name of at most 63"


def test_a_pod_holds_more_memory_than_duckdb_may_take(pods):
    limit = yaml.safe_load((ENV_ARGO / "globals.yml").read_text())["duckdb"]["memory_limit"]
    units = {"Mi": 2**20, "Gi": 2**30, "MB": 10**6, "GB": 10**9}
    in_bytes = lambda text: float(text[:-2]) * units[text[-2:]]  # noqa: E731
    smallest = min(in_bytes(pod["container"]["resources"]["limits"]["memory"]) for pod in pods)
    assert smallest >= 1.5 * in_bytes(limit)


def test_training_gets_more_than_the_others(pods):
    cpus = {pod["name"]: float(pod["container"]["resources"]["limits"]["cpu"]) for pod in pods}
    assert cpus["training"] == max(cpus.values()) > min(cpus.values())
