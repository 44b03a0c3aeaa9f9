"""Ways back that people take: after a full promotion, in the middle of one, and the two that are refused."""

import time

import pytest

from tests.e2e.cluster import wait

pytestmark = pytest.mark.cluster
NEXT = "good-12"


def taken_back(site, stable, load, watch, before, begin):
    """Roll back, tell, arrive: seconds, steps and analyses on the way."""
    rolled = site.rolled_back(stable)
    told = site.tell(stable)
    healthy = site.arrive(stable, before, 120)
    steps = sorted({said["step"] for at, said in watch.changes if at > told + 1 and said.get("phase") == "Paused"})
    counts = load.between(begin, healthy + 3)
    return {
        "rollback_s": round(rolled.seconds, 1),
        "told_to_healthy_s": round(healthy - told, 1),
        "pauses_at": steps,
        "total": counts.summary(),
    }


def test_a_revert_after_a_full_promotion(site, stable, load, figures):
    before = site.running(stable)
    begin = time.time()
    site.deliver(stable, NEXT)
    promoted = site.arrive(stable, NEXT)
    with site.watched(stable) as watch:
        found = taken_back(site, stable, load, watch, before, begin)
    found["analyses"] = len(site.runs_of(stable, promoted + 1))
    figures.put("e: revert after full promotion", found)
    assert found["total"]["lost"] == 0


def test_a_revert_in_the_middle_of_a_canary(site, stable, load, figures):
    before = site.running(stable)
    begin = time.time()
    site.deliver(stable, NEXT, "--force", "--reason", "to revert it in the middle")
    wait("the first pause", lambda: site.state(stable)["paused"], 90)
    with site.watched(stable) as watch:
        found = taken_back(site, stable, load, watch, before, begin)
    figures.put("e: revert in the middle of a canary", found)
    assert found["total"]["lost"] == 0
    assert found["pauses_at"] == [], "it went through steps again"


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
