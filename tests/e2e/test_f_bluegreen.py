"""Blue/green, which needs no router: a good version, and a bad one."""

import pytest

from tests.e2e import strategies, versions
from tests.e2e.cluster import wait

pytestmark = pytest.mark.cluster
BOTH = 4  # seconds in which both versions answer: until every rule of the node's is written
HEALTHY_WITHIN = 5.0  # seconds from when Argo CD is told of the revert: the old version's pods are all there


@pytest.fixture
def bluegreen(site, stable):
    """The environment under blue/green, and back afterwards."""
    runs = site.running(stable)

    strategies.switch(site, stable, "derived/strategy-bluegreen")
    yield runs
    strategies.switch(site, stable, "derived/strategy-canary")


@pytest.fixture
def bluegreen_alone(site, stable, bluegreen):
    """The same, when the pods of an earlier version that are kept for a while have gone: a small node has no room for three."""
    replicas = site.repository.budgets(stable).replicas
    wait(
        "the pods that were kept to go",
        lambda: len(site.cluster.listed("pod", site.namespace(stable))) <= replicas,
        180,
    )
    return bluegreen


def test_blue_green_switches(site, stable, load, bluegreen_alone, figures):
    name = "good-8" if bluegreen_alone != "good-8" else "good-9"
    told = site.deliver(stable, name)
    healthy = site.arrive(stable, name, 180)
    counts = load.between(told, healthy + 2)
    fresh = site.images.digests[name][7:19]
    mixed = [second["t"] for second in counts.seconds if fresh in second["answers"] and len(second["answers"]) > 1]
    found = {"told_to_healthy_s": round(healthy - told, 1), "seconds_with_both": len(mixed), "total": counts.summary()}
    figures.put("f: blue/green, a good version", found)
    assert counts.lost == {}
    assert counts.wrong == {}
    assert len(mixed) <= BOTH


def test_blue_green_goes_back(site, stable, load, forge, bluegreen_alone, figures):
    name = bluegreen_alone
    told = site.deliver(stable, versions.ERRORS, "--force", "--reason", "to see blue/green go back")
    digest = site.images.image(versions.ERRORS)
    dispatch = wait("the notification, handled", lambda: forge.came(digest, told), 150)[0]
    healthy = site.arrive(stable, name, 90)
    counts = load.between(told, healthy + 2)
    served = [s["t"] for s in counts.seconds if site.images.digests[versions.ERRORS][7:19] in s["answers"]]
    found = {
        "exposed_s": round(served[-1] + 1 - served[0], 1) if served else 0.0,
        "failed_metrics": site.failed_metrics(stable, told),
        "abort_notified_s": round(dispatch.at - told, 1),
        "revert_told_to_healthy_s": round(healthy - site.told_at, 1),
        "total": counts.summary(),
    }
    figures.put("f: blue/green, a bad version", found)
    assert counts.lost == {}
    assert "success-rate" in found["failed_metrics"]
    assert found["revert_told_to_healthy_s"] <= HEALTHY_WITHIN
