"""Faults of the platform in the middle of a canary: the stable version serves throughout, and the end is docs/recovery.md's."""

import os
import time
from pathlib import Path

import pytest

from tests.e2e.cluster import Unreachable, wait

pytestmark = pytest.mark.cluster
AWAY = 20.0  # seconds without an API server
NOTICED = 8.0  # seconds after a kill in which requests may be lost: until the pod is out of the Services, or back
RETRY = 10.0  # seconds after which Argo Rollouts asks a Prometheus again that did not answer
HEALTHY_WITHIN = 5.0  # seconds from when Argo CD is told of the revert


def processes(container):
    """The processes of a container, where this machine sees its node's."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if container in (place / "cgroup").read_text():
                found.append(int(place.name))
        except OSError:
            continue
    return found


def restarts(site, environment):
    pods = site.cluster.listed("pod", site.namespace(environment))
    return sum(s["restartCount"] for p in pods for s in p["status"].get("containerStatuses", []))


def in_the_middle(site, stable, name):
    """Deliver a version and wait for its first pause."""
    told = site.deliver(stable, name)
    wait("the first pause", lambda: site.state(stable)["paused"], 90)
    return told


def test_servers_killed_in_the_middle_of_a_canary(site, stable, load, figures):
    before, name = site.running(stable), "good-3"
    told = in_the_middle(site, stable, name)
    killed = 0
    count = restarts(site, stable)
    by_hash = {}
    for pod in site.cluster.listed("pod", site.namespace(stable)):
        if "deletionTimestamp" not in pod["metadata"]:
            by_hash.setdefault(pod["metadata"]["labels"].get("rollouts-pod-template-hash"), pod)
    begin = time.time()
    for pod in by_hash.values():  # one of each version
        container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
        for process in processes(container):
            os.kill(process, 9)
            killed += 1
    if not killed:
        pytest.skip("the servers' processes are not seen from here: not run")
    wait("the containers to be started again", lambda: restarts(site, stable) > count, 60)
    healthy = site.arrive(stable, name, 180)
    counts = load.between(begin - 2, healthy + 3)
    hit = [second["t"] for second in counts.seconds if second.get("lost")]
    figures.put(
        "g: servers killed",
        {
            "from": before,
            "to": name,
            "killed": killed,
            "lost_within_s": round(hit[-1] + 1 - begin, 1) if hit else 0.0,
            "healthy_s": round(healthy - told, 1),
            "total": counts.summary(),
        },
    )
    assert killed >= 2, "one of each version"
    assert not hit or hit[-1] + 1 - begin <= NOTICED
    assert counts.wrong == {}
    assert {run["phase"] for run in site.runs_of(stable, told)} == {"Successful"}


def test_the_api_server_away_in_the_middle_of_a_canary(site, stable, load, figures):
    if not (site.settings.stop and site.settings.start):
        pytest.skip("E2E_STOP and E2E_START say how: not run")
    name = "good-4"
    told = in_the_middle(site, stable, name)
    begin = time.time()
    site.fault("apiserver", there=False)
    wait("20 s to pass", lambda: time.time() > begin + AWAY, AWAY + 10)
    with pytest.raises(Unreachable):
        site.state(stable)
    site.fault("apiserver", there=True)
    back = time.time()
    wait("the API server", lambda: site.state(stable), 60)
    healthy = site.arrive(stable, name, 240)
    counts = load.between(begin, healthy + 3)
    found = {"away_s": round(back - begin, 1), "healthy_s": round(healthy - told, 1), "total": counts.summary()}
    figures.put("g: API server away", found)
    assert back - begin >= AWAY
    assert counts.lost == {}
    assert counts.wrong == {}
    assert {run["phase"] for run in site.runs_of(stable, told)} == {"Successful"}


def test_prometheus_away_in_the_middle_of_a_canary(site, stable, load, forge, figures):
    if not (site.settings.stop and site.settings.start):
        pytest.skip("E2E_STOP and E2E_START say how: not run")
    before, name = site.running(stable), "good-5"
    borne = max(site.repository.budgets(stable).canary.pause_seconds // RETRY, 1)
    with site.watched(stable) as watch:
        told = in_the_middle(site, stable, name)
        begin = time.time()
        site.fault("prometheus", there=False)
        try:
            aborted = wait("the canary to end", lambda: watch.first(lambda said: said.get("abort"), begin), 150)
            dispatch = wait("the notification", lambda: forge.came(site.images.image(name), told), 60)[0]
            healthy = site.arrive(stable, before, 60)
        finally:
            site.fault("prometheus", there=True)
        counts = load.between(begin, time.time())
    message = next((said["message"] for at, said in watch.changes if said.get("abort")), "")
    found = {"aborted_after_s": round(aborted - begin, 1), "message": message, "total": counts.summary()}
    found["metrics"] = {run["name"]: run["metrics"] for run in site.runs_of(stable, told)}
    found["told_to_healthy_s"] = round(healthy - site.told_at, 1)
    figures.put("g: Prometheus away", found)
    assert dispatch.outcome.code == 0, dispatch.outcome.error
    assert RETRY * borne <= aborted - begin + 5.0, "one answer that did not come is no reason"
    assert aborted - begin <= RETRY * (borne + 1) + 5.0
    assert "Error" in {phase for metrics in found["metrics"].values() for phase in metrics.values()}
    assert found["told_to_healthy_s"] <= HEALTHY_WITHIN
    assert counts.lost == {}
    assert counts.wrong == {}
    assert set(counts.statuses[before]) == {"200"}
