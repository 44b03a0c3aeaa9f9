"""Bad versions: each is sent back by the metric that says what is wrong with it, and git follows by itself.

c and d of the plan: abort, notification, `release rollback` run on the notification's body, revert, Healthy without steps.
"""

import time

import pytest

from tests.e2e import versions
from tests.e2e.cluster import wait

pytestmark = pytest.mark.cluster
METRICS = {
    versions.ERRORS: {"success-rate"},
    versions.SLOW: {"latency-p99"},
    versions.SHIFTED: {"prediction-shift"},
    versions.CRASHING: set(),
    versions.UNPULLABLE: set(),
}
HANGS = {"in-flight", "scrape-lost"}  # whichever is first: a server without time for answers has little for scrapes
ABORTED_WITHIN = 150
HEALTHY_WITHIN = 5.0  # seconds from when Argo CD is told of the revert
SHARE = 0.3  # of the requests may be lost, until it has gone, where a version hangs: its own, and nobody else's
MISSED = 20  # of the lost requests' moments are kept
GONE = 12.0  # seconds from the abort until its last client has given up


@pytest.mark.parametrize("name", [*METRICS, versions.HANGING])
def test_a_bad_version_is_sent_back_in_the_cluster_and_in_git(site, stable, load, forge, figures, name):
    before = site.running(stable)
    line = site.repository.line(stable)
    with site.watched(stable) as watch:
        # A run that goes on (E2E_KEEP) has had it taken back before.
        told = site.deliver(stable, name, "--force", "--reason", "bad on purpose")
        digest = site.images.image(name)
        wait(f"{name} to be aborted", lambda: watch.first(lambda said: said.get("abort"), told), ABORTED_WITHIN)
        dispatch = wait("the notification, handled", lambda: forge.came(digest, told), 60)[0]
        assert dispatch.outcome.code == 0, dispatch.outcome.error
        site.arrive(stable, before, 60)
        wait("a few seconds more", lambda: time.time() > dispatch.ended + 8, 20)
    aborted = watch.first(lambda said: said.get("abort"), told)
    healthy = watch.first(
        lambda said: said["phase"] == "Healthy" and said["stable"] == said["current"], dispatch.ended - 1.0
    )
    synced = watch.first(
        lambda said: said["phase"] == "Healthy" and (said["sync"], said["health"]) == ("Synced", "Healthy"),
        dispatch.ended - 1.0,
    )
    retold = site.told_at
    stable_image = site.images.image(before)
    reverted = watch.first(lambda said: said.get("image") == stable_image and not said["abort"], retold)
    counts = load.between(told, max(healthy, synced, aborted + GONE if name == versions.HANGING else 0.0) + 3)
    runs = site.runs_of(stable, told)
    served = counts.answers[name]
    canary = [second["t"] for second in counts.seconds if site.images.digests[name][7:19] in second["answers"]]
    found = {
        "stable": before,
        "served_after_s": round(canary[0] - told, 1) if canary else None,
        "served_to_abort_s": round(aborted - canary[0], 1) if canary else None,
        "told_to_abort_s": round(aborted - told, 1),
        "last_answer_after_abort_s": round(canary[-1] + 1 - aborted, 1) if canary else None,
        "failed_metrics": site.failed_metrics(stable, told),
        "message": next((said["message"] for at, said in watch.changes if said.get("abort")), ""),
        "analysis": [{key: run[key] for key in ("name", "phase", "message", "metrics", "values")} for run in runs],
        "abort_to_notification_s": round(dispatch.at - aborted, 1),
        "notification": dispatch.body,
        "notifications": len(forge.came(digest, told)),
        "rollback_s": round(dispatch.outcome.seconds, 1),
        "told_to_reverted_s": round(reverted - retold, 1),
        "told_to_healthy_s": round(healthy - retold, 1),
        "abort_to_healthy_s": round(healthy - aborted, 1),
        "told_to_application_healthy_s": round(synced - retold, 1),
        "answers_of_the_bad_version": served,
        "missed_after_abort": counts.missed(aborted)[:MISSED],
        "total": counts.summary(),
    }
    if name == versions.ERRORS:
        figures.put("picture: abort", site.picture(load, told - 5, synced + 6, watch, before, name))
    figures.put(f"c: {name}", found)
    failed = set(found["failed_metrics"])
    assert failed & HANGS if name == versions.HANGING else failed >= METRICS[name]
    assert METRICS.get(name, HANGS) or failed == set()
    assert site.repository.line(stable) == line
    after = [said for at, said in watch.changes if at > healthy]
    assert {said["phase"] for said in after} <= {"Healthy"}, "it went through steps again"
    assert len(site.runs_of(stable, told)) == len(runs)
    if name == versions.HANGING:
        hit = [second["t"] for second in counts.seconds if second.get("lost")]
        assert sum(counts.lost.values()) <= SHARE * site.settings.rate * (aborted - told)
        assert not hit or hit[-1] <= aborted + GONE
    else:
        assert counts.lost == {}
    assert counts.wrong == {}
    assert set(counts.statuses[before]) == {"200"}, "the stable version was touched by it"
    assert found["told_to_healthy_s"] <= HEALTHY_WITHIN
