"""Blue/green, which needs no router: a good version, and a bad one."""

import time

import pytest

from tests.e2e import strategies, versions
from tests.e2e.cluster import wait

pytestmark = pytest.mark.cluster


@pytest.fixture
def bluegreen(site, stable):
    """The environment under blue/green, and back afterwards."""
    runs = site.running(stable)

    strategies.switch(site, stable, "derived/strategy-bluegreen")
    yield runs
    strategies.switch(site, stable, "derived/strategy-canary")


def test_blue_green_switches_and_goes_back(site, stable, load, forge, bluegreen, figures):
    before, name = bluegreen, "good-8"
    begin = time.time()
    told = site.deliver(stable, name)
    healthy = site.arrive(stable, name, 180)
    counts = load.between(told, healthy + 2)
    fresh = site.images.digests[name][7:19]
    mixed = [second["t"] for second in counts.seconds if fresh in second["answers"] and len(second["answers"]) > 1]
    found = {"told_to_healthy_s": round(healthy - told, 1), "seconds_with_both": len(mixed), "total": counts.summary()}
    figures.put("f: blue/green, a good version", found)
    assert counts.lost == {}
    assert counts.wrong == {}
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
    figures.put("f: blue/green, a bad version", found | {"from": before, "seconds": round(healthy - begin)})
    assert counts.lost == {}
    assert "success-rate" in found["failed_metrics"]
