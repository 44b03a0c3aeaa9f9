"""The whole circle: a version that the cluster sends back is reverted by the rollback workflow, and Argo CD brings it home."""

import time

import pytest

from release import pin
from tests.e2e import versions
from tests.e2e.cluster import wait
from tests.e2e.workflow import Actions
from tests.github.server import running
from tests.workflows import act

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(act.program() is None, reason="act has no wheel for this system: the circle was not run"),
]
HEALTHY_WITHIN = 5.0  # seconds from when Argo CD is told of the merge
RECIPIENT = "notifications.argoproj.io/subscribe.on-rollout-aborted.github-dispatch"


@pytest.fixture
def actions(site, stable, forge, tmp_path):
    """GitHub, of the repository that the Rollout names, before the one that Argo CD reads; under load again."""
    image = f"{site.repository.image}@{site.images.image('good-1')}"
    site.load.start(image, site.service(stable), 80, site.settings.rate, versions.questions(site.images.model))
    rollout = site.cluster.get("rollout", site.namespace(stable), "model")
    owner, _, name = rollout["metadata"]["annotations"][RECIPIENT].partition("/")
    with running(site.repository.origin, owner, name) as hub:
        handle = forge.handle
        forge.handle = made = Actions(site.repository, hub, tmp_path, lambda: site.tell(stable))
        yield made
        forge.handle = handle
        site.repository.git("pull", "-q", "--ff-only", "origin", "main")
        assert hub.violations == []


def test_an_abort_in_the_cluster_is_reverted_by_the_workflow_and_arrives(site, stable, load, actions, forge, figures):
    before, name = site.running(stable), versions.ERRORS
    line, digest = site.repository.line(stable), site.images.image(name)
    with site.watched(stable) as watch:
        told = site.deliver(stable, name, "--force", "--reason", "bad on purpose")
        bad = site.repository.truth("rev-parse", "main").strip()
        aborted = wait("the abort", lambda: watch.first(lambda said: said.get("abort"), told), 150)
        dispatch = wait("the workflow to end", lambda: forge.came(digest, told), 300)[0]
        (run,) = actions.runs
        assert run.code == 0, run.text
        site.arrive(stable, before, 60)
        wait("a few seconds more", lambda: time.time() > dispatch.ended + 8, 20)
    (merged,), retold = actions.merged, site.told_at
    healthy = watch.first(
        lambda said: said["phase"] == "Healthy" and said["stable"] == said["current"] and said["image"] != digest,
        retold,
    )
    counts = load.between(told, healthy + 3)
    (pull,) = actions.hub.pulls.values()
    found = {
        "told_to_abort_s": round(aborted - told, 1),
        "abort_to_notification_s": round(dispatch.at - aborted, 1),
        "notification_to_workflow_s": round(actions.began[0] - dispatch.at, 1),
        "workflow_to_merged_s": round(merged - actions.began[0], 1),
        "workflow_s": round(dispatch.ended - actions.began[0], 1),
        "told_to_healthy_s": round(healthy - retold, 1),
        "abort_to_healthy_s": round(healthy - aborted, 1),
        "pull_request": pull.title,
        "missed": counts.missed(told),
        "total": counts.summary(),
    }
    figures.put("k: the whole circle, by the workflow", found)
    assert run.jobs == {"rollback/rollback/rollback": "success"}
    assert actions.hub.dispatches[0] == dispatch.body
    assert (pull.state, pull.merged) == ("closed", site.repository.truth("rev-parse", "main").strip())
    assert site.repository.truth("diff", "--numstat", bad, "main").splitlines() == [f"1\t1\t{pin.path(stable)}"]
    assert "success-rate" in site.repository.truth("log", "-2", "--format=%B", "main")
    assert site.repository.line(stable) == line
    after = [said for at, said in watch.changes if at > healthy]
    assert {said["phase"] for said in after} <= {"Healthy"}, "it went through steps again"
    assert counts.lost == {}
    assert counts.wrong == {}
    assert found["told_to_healthy_s"] <= HEALTHY_WITHIN
