"""Faults of the platform in the middle of a canary: the stable version serves throughout, and the end is the documented one."""

import os
import time
from pathlib import Path

import pytest

from tests.e2e.cluster import Unreachable, wait

pytestmark = pytest.mark.cluster
AWAY = 20.0  # seconds without an API server


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
    for pod in by_hash.values():  # one of each version
        container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
        for process in processes(container):
            os.kill(process, 9)
            killed += 1
    if not killed:
        pytest.skip("the servers' processes are not seen from here: not run")
    begin = time.time()
    wait("the containers to be started again", lambda: restarts(site, stable) > count, 60)
    healthy = site.arrive(stable, name, 180)
    counts = load.between(begin - 2, healthy + 3)
    lost = counts.lost
    figures.put(
        "g: servers killed",
        {
            "from": before,
            "to": name,
            "killed": killed,
            "healthy_s": round(healthy - told, 1),
            "total": counts.summary(),
        },
    )
    assert sum(lost.values()) < 0.02 * counts.requests, lost
    assert counts.wrong == {}


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
    assert counts.lost == {}


def test_prometheus_away_in_the_middle_of_a_canary(site, stable, load, silent, figures):
    if not (site.settings.stop and site.settings.start):
        pytest.skip("E2E_STOP and E2E_START say how: not run")
    before, name = site.running(stable), "good-5"
    with site.watched(stable) as watch:
        told = in_the_middle(site, stable, name)
        begin = time.time()
        site.fault("prometheus", there=False)
        try:
            aborted = wait("the canary to end", lambda: watch.first(lambda said: said.get("abort"), begin), 150)
        finally:
            site.fault("prometheus", there=True)
        counts = load.between(begin, time.time())
    message = next((said["message"] for at, said in watch.changes if said.get("abort")), "")
    found = {"aborted_after_s": round(aborted - begin, 1), "message": message, "total": counts.summary()}
    found["metrics"] = {run["name"]: run["metrics"] for run in site.runs_of(stable, told)}
    site.rolled_back(stable)
    found["told_to_healthy_s"] = round(-site.tell(stable) + site.arrive(stable, before, 60), 1)
    figures.put("g: Prometheus away", found)
    assert counts.lost == {}
    assert set(counts.statuses[before]) == {"200"}
