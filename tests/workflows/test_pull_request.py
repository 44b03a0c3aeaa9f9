"""A pull request: what a data scientist's has to show, and what a promotion's or a rollback's has."""

import itertools
import subprocess

import pytest
import yaml

from tests.github import hub as forge
from tests.workflows import payloads
from tests.workflows.site import git


def opened(lab, branch, seconds=240, **said):
    """Run the checks of a pull request that the forge knows as number 5."""
    merge = lab.site.pull_request(branch)
    head = git(lab.site.origin, "rev-parse", branch)
    event = payloads.pull_request(lab.site.slug, lab.site.tip, head, branch, **said)
    return lab.run("pull-request", "pull_request", event, merge, None, seconds)


@pytest.fixture
def topic(lab):
    lab.change_the_model("topic")
    sha = git(lab.site.origin, "rev-parse", "topic")
    lab.hub.pulls[5] = forge.Pull(5, "Another model", "", "topic", "main", sha, "somebody")
    return lab


@pytest.mark.slow
def test_a_changed_model_is_trained_built_loaded_and_shown_in_one_comment(topic):
    run = opened(topic, "topic")
    assert run.code == 0, run.text
    assert {name: result for name, result in run.jobs.items() if name.startswith("pull-request/")} == {
        "pull-request/what it touches": "success",
        "pull-request/comment": "success",
        "pull-request/gate": "success",
    }
    assert "prepared run --params=training.optimisation.maximum_epochs=3" in run.said
    assert not [line for line in run.said if line.startswith(("cosign", "attest", "docker"))]
    assert topic.store.blobs == {}  # nothing of a pull request is published
    assert "Gates" in run.summary
    assert "oad test" in run.summary
    ((number, comment),) = topic.hub.comments.values()
    assert number == 5
    assert comment["body"].startswith("<!-- slipway:")
    assert "Gates" in comment["body"]
    assert "oad test" in comment["body"]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_model_that_is_really_trained_goes_the_same_way(topic, root):
    """Kedro, the gates and Deepchecks on this repository's data, as a runner would: minutes."""
    if not (root / "requirements/example.txt").exists():
        pytest.skip("the example's data is gone: what to train on is not known here")
    topic.environment["GNUMAKEFLAGS"] = "RUN=module"
    run = opened(topic, "topic", seconds=1400)
    assert run.code == 0, run.text[-3000:]
    assert not [line for line in run.said if line.startswith("prepared")]
    assert "done: the whole pipeline" in run.text
    assert run.jobs["loadtest/loadtest/measure"] == run.jobs["pull-request/gate"] == "success"
    warnings = {(each.title, each.file) for each in run.annotations if each.level == "warning"}
    assert ("drift: inputs", "conf/base/budgets.yml") in warnings
    assert len(topic.hub.comments) == 1


@pytest.mark.slow
def test_the_comment_is_updated_in_place(topic):
    opened(topic, "topic")
    ((number, (_, before)),) = [(key, (pull, dict(said))) for key, (pull, said) in topic.hub.comments.items()]
    topic.environment["PREPARED_SHIFT"] = "0.3"
    opened(topic, "topic")
    assert topic.hub.comments.keys() == {number}
    assert topic.hub.comments[number][1]["body"] != before["body"]


def test_a_gate_that_refuses_turns_the_gate_red_and_says_which_line(topic):
    topic.environment["PREPARED_GATES"] = "fail"
    run = opened(topic, "topic")
    assert run.code != 0
    assert run.jobs["train/train/train"] == "failure"
    assert "pull-request/gate" not in run.jobs  # act ends where a called workflow fails; GitHub would run it, see below
    assert not run.ran("Build")
    (error,) = [each for each in run.annotations if each.level == "error" and each.title != "gate"]
    assert (error.title, error.file) == ("quality: auc reaches the floor", "conf/base/budgets.yml")
    line = (topic.site.work / error.file).read_text().splitlines()[int(error.line) - 1]
    assert line.strip().startswith("floor:")


@pytest.mark.slow
def test_a_job_that_fails_turns_the_gate_red(topic):
    del topic.hub.pulls[5]  # nowhere to put the comment
    run = opened(topic, "topic")
    assert run.jobs["pull-request/comment"] == run.jobs["pull-request/gate"] == "failure"


def test_a_promotion_is_asked_whether_it_may_go_out_now_and_is_not_tested(lab):
    released = lab.publish(0.0)
    lab.proposed("staging", released)
    run = opened(lab, "promote/staging/x")
    assert run.code == 0, run.text
    assert run.jobs == {
        "pull-request/what it touches": "success",
        "gitops-checks/gitops-checks/render": "success",
        "gitops-checks/gitops-checks/may staging be released now": "success",
        "pull-request/gate": "success",
    }


@pytest.fixture
def frozen(lab):
    budgets = lab.site.work / "conf/base/budgets.yml"
    document = yaml.safe_load(budgets.read_text())
    freeze = [{"from": "2020-01-01T00:00Z", "to": "2099-01-01T00:00Z", "why": "stocktaking"}]
    document["release"] = {**document.get("release", {}), "freeze": freeze}
    budgets.write_text(yaml.safe_dump(document, sort_keys=False))
    lab.site.push("A freeze")
    lab.proposed("staging", lab.publish(0.0), "promote/staging/x")
    return lab


@pytest.mark.slow
def test_a_freeze_holds_a_promotion_back(frozen):
    run = opened(frozen, "promote/staging/x")
    assert run.code != 0
    assert run.jobs["gitops-checks/gitops-checks/may staging be released now"] == "failure"
    assert "stocktaking" in run.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("branch", "said", "passes"),
    [
        ("rollback/staging/x", {}, True),
        ("promote/staging/x", {"labels": ["rollback"]}, True),
        ("rollback/staging/x", {"fork": "somebody/else"}, False),
    ],
)
def test_a_rollback_passes_a_freeze_and_a_fork_s_branch_name_does_not(frozen, branch, said, passes):
    git(frozen.site.origin, "update-ref", f"refs/heads/{branch}", "refs/heads/promote/staging/x")
    run = opened(frozen, branch, **said)
    assert (run.jobs.get("pull-request/gate") == "success") is passes, run.text


@pytest.mark.slow
def test_a_fork_gets_its_checks_and_no_comment(topic):
    run = opened(topic, "topic", fork="somebody/model")
    assert run.code == 0, run.text
    assert "pull-request/comment" not in run.jobs
    assert run.jobs["pull-request/gate"] == "success"


@pytest.mark.slow
def test_a_merge_group_is_looked_at_as_a_whole(lab):
    base = lab.site.tip
    lab.proposed("staging", lab.publish(0.0))
    head = git(lab.site.origin, "rev-parse", "promote/staging/x")
    run = lab.run("pull-request", "merge_group", payloads.merge_group(lab.site.slug, base, head), head, None)
    assert run.code == 0, run.text
    assert run.outputs["pull-request/what it touches", "changes", "environments"] == '["staging"]'
    assert run.jobs == {
        "pull-request/what it touches": "success",
        "gitops-checks/gitops-checks/render": "success",
        "pull-request/gate": "success",
    }


def test_the_gate_lets_through_what_passed_or_had_not_to_run_and_nothing_else(root):
    workflow = yaml.safe_load((root / ".github/workflows/pull-request.yml").read_text())
    asked, changes = (step["run"] for step in workflow["jobs"]["gate"]["steps"])
    for results in itertools.product(("success", "skipped", "failure", "cancelled"), repeat=3):
        done = subprocess.run(
            ["bash", "-e", "-c", asked], env={"RESULTS": " ".join(results)}, capture_output=True, check=False
        )
        assert (done.returncode != 0) is bool({"failure", "cancelled"} & set(results)), results
    for result in ("success", "skipped", "failure", "cancelled"):
        done = subprocess.run(["bash", "-e", "-c", changes], env={"CHANGES": result}, check=False)
        assert (done.returncode == 0) is (result == "success")
