"""Ways back that people take: after a full promotion, in the middle of one, and the two that are refused."""

import time

import pytest

from tests.e2e.cluster import wait

pytestmark = pytest.mark.cluster
FIRST, NEXT, LATER = "good-10", "good-12", "good-11"
APPROVED = ("--force", "--reason", "for the next scenario")  # a run that goes on (E2E_KEEP) has taken it back before
# Seconds from when Argo CD is told in the middle of a canary. After an abort the stable version's pods have come back before it
# is told; here one has to start afterwards: Argo CD compares and syncs 2, the pod gets a container 1, the server starts (bundle,
# golden rows, start-up probe each 1 s, on a fifth of a core) 3, the readiness probe's period 2, minReadySeconds 1, and Argo
# Rollouts, Argo CD's health and our look 1.
HEALTHY_WITHIN = 2.0 + 1.0 + 3.0 + 2.0 + 1.0 + 1.0
ALL_WITHIN = 30.0  # where all of them have: one after the other, none before the one before it is ready


def promoted(site, stable, name):
    """Deliver a version and have it run."""
    site.deliver(stable, name, *APPROVED)
    return site.arrive(stable, name)


def taken_back(site, stable, load, before, begin):
    """Roll back, tell, arrive: seconds, steps and analyses on the way."""
    earlier = len(site.runs_of(stable, begin))
    with site.watched(stable) as watch:
        rolled = site.rolled_back(stable)
        told = site.tell(stable)
        healthy = site.arrive(stable, before, 120)
    steps = sorted({said["step"] for at, said in watch.changes if at > told + 1 and said.get("phase") == "Paused"})
    counts = load.between(begin, healthy + 3)
    return {
        "rollback_s": round(rolled.seconds, 1),
        "told_to_healthy_s": round(healthy - told, 1),
        "pauses_at": steps,
        "analyses": len(site.runs_of(stable, begin)) - earlier,
        "missed": counts.missed(told),
        "total": counts.summary(),
    }


def test_a_revert_after_a_full_promotion(site, stable, load, figures):
    promoted(site, stable, FIRST)
    begin = time.time()
    promoted(site, stable, NEXT)
    found = taken_back(site, stable, load, FIRST, begin)
    figures.put("e: revert after full promotion", found)
    assert found["total"]["lost"] == 0
    assert (found["pauses_at"], found["analyses"]) == ([], 0), "it went through steps again"
    assert found["told_to_healthy_s"] <= ALL_WITHIN


def test_a_revert_after_a_full_promotion_with_another_version_in_between(site, stable, load, figures):
    """The one that was just sent back lies between the two that are promoted: the way back is measured like a way forth."""
    before = site.running(stable)
    begin = time.time()
    promoted(site, stable, LATER)
    found = taken_back(site, stable, load, before, begin)
    figures.put("e: revert after full promotion, another version in between", found)
    assert found["total"]["lost"] == 0
    assert found["pauses_at"] != []
    assert found["analyses"] > 0


def test_a_revert_in_the_middle_of_a_canary(site, stable, load, figures):
    before = site.running(stable)
    begin = time.time()
    site.deliver(stable, NEXT, *APPROVED)
    wait("the first pause", lambda: site.state(stable)["paused"], 90)
    found = taken_back(site, stable, load, before, begin)
    figures.put("e: revert in the middle of a canary", found)
    assert found["total"]["lost"] == 0
    assert (found["pauses_at"], found["analyses"]) == ([], 0), "it went through steps again"
    assert found["told_to_healthy_s"] <= HEALTHY_WITHIN


def test_a_revert_is_not_reverted(site, stable):
    line = site.repository.line(stable)
    outcome = site.repository.release("rollback", stable, "--merge")
    assert outcome.code == 0
    assert "a rollback is not reverted" in outcome.output
    assert site.repository.line(stable) == line


def test_what_was_taken_back_comes_again_only_approved_anew(site, stable, figures):
    before = site.running(stable)
    line = site.repository.line(stable)
    refused = site.promote(stable, NEXT)
    assert refused.code == 2
    assert "took this digest back" in refused.error
    assert site.repository.line(stable) == line
    begin = time.time()
    told = site.deliver(stable, NEXT, "--force", "--reason", "approved anew")
    wait("the first pause", lambda: site.state(stable)["paused"], 90)
    healthy = site.arrive(stable, NEXT)
    analyses = len(site.runs_of(stable, begin))
    figures.put(
        "e: promoted again",
        {
            "refused": refused.last_line,
            "from": before,
            "told_to_healthy_s": round(healthy - told, 1),
            "analyses": analyses,
        },
    )
    assert analyses > 0, "it came again unmeasured"
