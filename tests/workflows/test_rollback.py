"""The cluster sent a version back: git follows, by a pull request that is merged. What the event says is hostile."""

import pytest
import yaml

from release import pin
from tests.workflows import payloads
from tests.workflows.site import git

STAGING = pin.path("staging")


@pytest.fixture
def bad(lab):
    """Runs in staging, on top of a good one; the image as the notification names it."""
    good, bad = lab.publish(0.0), lab.publish(0.3, version="8")
    lab.released("staging", good)
    lab.released("staging", bad)
    return f"{lab.image}:{bad}"


def namespace(lab, environment="staging"):
    return yaml.safe_load((lab.site.work / f"gitops/envs/{environment}/kustomization.yaml").read_text())["namespace"]


def dispatched(lab, event):
    return lab.run("rollback-dispatch", "repository_dispatch", event)


def test_an_aborted_release_is_reverted_and_merged_and_a_second_notification_changes_nothing(lab, bad):
    before = lab.site.tip
    runs_before = git(lab.site.origin, "show", f"{before}~1:{STAGING}")
    event = payloads.aborted(lab.site.slug, namespace(lab), bad)
    run = dispatched(lab, event)
    assert run.code == 0, run.text
    assert run.jobs == {"rollback/rollback/rollback": "success"}
    assert lab.numstat(before, "main") == [f"1\t1\t{STAGING}"]
    (pull,) = lab.hub.pulls.values()
    assert (pull.state, pull.head.rpartition("/")[0]) == ("closed", "rollback/staging")
    assert pull.merged == lab.site.tip
    assert "success-rate" in git(lab.site.origin, "log", "-2", "--format=%B")
    assert git(lab.site.origin, "show", f"main:{STAGING}") == runs_before
    assert "app-token checks contents pull-requests statuses" in run.said

    tip = lab.site.tip
    again = dispatched(lab, event)
    assert again.code == 0, again.text
    assert "nothing to do" in again.text
    assert lab.site.tip == tip
    assert len(lab.hub.pulls) == 1


@pytest.mark.slow
def test_without_an_app_a_rollback_is_red_and_says_what_to_do_by_hand(lab, bad):
    del lab.variables["RELEASE_APP_CLIENT_ID"]
    lab.secrets.clear()
    tip = lab.site.tip
    run = dispatched(lab, payloads.aborted(lab.site.slug, namespace(lab), bad))
    assert run.code != 0
    said = [each for each in run.annotations if each.title == "Not rolled back"]
    assert "make rollback ENV=" in said[0].text
    assert not run.ran("Roll back what the cluster sent back")
    assert (lab.site.tip, lab.hub.writes()) == (tip, [])


HOSTILE = {
    "a command in the image": {"image": 'x:$(touch pwned)@sha256:"; touch pwned; "'},
    "a make function in the image": {"image": "$(shell touch pwned)"},
    "another namespace": {"namespace": "kube-system"},
    "a path": {"namespace": "../../production"},
    "no payload": None,
}


FAST = "a command in the image"


@pytest.mark.parametrize(
    "said", [pytest.param(HOSTILE[name], id=name, marks=[pytest.mark.slow] * (name != FAST)) for name in HOSTILE]
)
def test_a_hostile_payload_is_refused_in_one_line_and_writes_nothing(lab, said):
    before = git(lab.site.origin, "for-each-ref")
    event = payloads.aborted(lab.site.slug, namespace(lab), f"x@sha256:{'0' * 64}")
    event["client_payload"] = {} if said is None else event["client_payload"] | said
    run = dispatched(lab, event)
    assert run.jobs == {"rollback/rollback/rollback": "failure"}
    assert run.step("Roll back what the cluster sent back") == "failure"
    assert [line for line in run.log if "Traceback" in line] == []
    assert len([line for line in run.log if "| rollback: " in line]) <= 1  # act may lose a step's last line
    assert lab.hub.writes() == []
    assert git(lab.site.origin, "for-each-ref") == before
    assert list(lab.home.rglob("pwned")) == []


@pytest.mark.slow
def test_a_digest_that_does_not_run_any_more_is_passed_over(lab, bad):
    tip = lab.site.tip
    run = dispatched(lab, payloads.aborted(lab.site.slug, namespace(lab), f"x@sha256:{'0' * 64}"))
    assert run.code == 0, run.text
    assert "nothing to do" in run.text
    assert lab.site.tip == tip
    assert lab.hub.writes() == []


@pytest.mark.slow
def test_a_person_rolls_back_with_a_reason(lab, bad):
    before = lab.site.tip
    said = {"environment": "staging", "reason": 'too slow"; touch pwned; $(touch pwned)'}
    event = payloads.workflow_dispatch(lab.site.slug, "rollback-dispatch", **said)
    run = lab.run("rollback-dispatch", "workflow_dispatch", event)
    assert run.code == 0, run.text
    assert lab.numstat(before, "main") == [f"1\t1\t{STAGING}"]
    assert said["reason"] in git(lab.site.origin, "log", "-2", "--format=%B")
    assert list(lab.home.rglob("pwned")) == []
