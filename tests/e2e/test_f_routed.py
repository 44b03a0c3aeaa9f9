"""What needs a router: A/B by a header, and a shadow. The route is the repository's own; shares are whole pods (strategies.py)."""

import time
from urllib.parse import urlsplit

import pytest

from tests.e2e import strategies
from tests.e2e.cluster import kubectl, wait
from tests.e2e.versions import questions

pytestmark = pytest.mark.cluster
NEXT = ("good-6", "good-7")  # whichever does not run yet
EVERY = 5  # one client in so many sends the header
POINTS = 0.02  # that the header's share may differ from that: who sends it is answered by nobody else
MIRRORED = 0.95  # of the requests that have come, at least so many reach the shadow as well


@pytest.fixture
def gateway(site):
    """Where the Gateway answers."""
    if not site.settings.gateway:
        pytest.skip("E2E_GATEWAY says where a Gateway answers: not run")
    return site.settings.gateway


@pytest.fixture
def routed(site, stable, load, gateway):
    """Choose components behind the Gateway and send the load there; everything as before afterwards."""
    image = f"{site.repository.image}@{site.images.image('good-1')}"
    asked = questions(site.images.model)
    place = urlsplit(gateway)

    def begin(*components, header=""):
        route, rule = strategies.by_hand(site.repository, stable, *components)
        strategies.switch(site, stable, *components, strategies.BY_HAND)
        wait("the Gateway to take the route", lambda: strategies.accepted(site, stable), 60)
        (host,) = route["spec"]["hostnames"]
        said = asked | {"host": host, "header": {"line": header, "every": EVERY}}
        load.start(image, place.hostname, place.port, site.settings.rate, said)
        return host, rule

    yield begin
    strategies.switch(site, stable, "derived/strategy-canary")
    load.start(image, site.service(stable), 80, site.settings.rate, asked)


def test_clients_with_the_header_are_answered_by_the_new_version(site, stable, routed, load, gateway, figures):
    said = site.repository.budgets(stable).comparison
    header = {said.header: said.value}
    host, rule = routed("derived/strategy-ab", header=f"{said.header}: {said.value}\r\n")
    before = site.running(stable)
    name = next(each for each in NEXT if each != before)
    old, new = site.images.digests[before], site.images.digests[name]

    def answering(headers):
        return strategies.answered_by(gateway, host, questions(site.images.model), headers, 50)

    assert answering(header) == {old}, "between releases everybody is answered by what runs"
    with site.watched(stable) as watch, strategies.PlugIn(site, stable, rule):
        told = site.deliver(stable, name, "--force", "--reason", "a run that goes on may have taken it back")
        begun = wait("the comparison", lambda: watch.first(lambda state: state.get("paused"), told), 90)
        time.sleep(3)  # until the Gateway knows the new pods
        assert answering(header) == {new}
        assert answering({}) == {old}
        healthy = site.arrive(stable, name, 180)
        time.sleep(2 * strategies.SWITCHED)  # until the route is as between releases
    ended = watch.first(lambda state: state.get("phase") and not state.get("paused"), begun + 1)
    assert answering(header) == answering({}) == {new}
    counts = load.between(told, healthy + 3)
    compared = counts.within(begun + 3, ended)
    found = {
        "compared_s": round(ended - begun, 1),
        "sends_the_header": f"1 of {EVERY}",
        "answered_by_the_new_version": f"{compared.share(name):.2%}",
        "told_to_healthy_s": round(healthy - told, 1),
        "missed": counts.missed(told),
        "total": counts.summary(),
    }
    figures.put("f: A/B by header", found)
    assert ended - begun >= said.minutes * 60 - 1
    assert abs(compared.share(name) - 1 / EVERY) <= POINTS
    assert counts.lost == {}
    assert counts.wrong == {}


def test_a_shadow_gets_a_copy_of_each_request_and_answers_nobody(site, stable, routed, load, figures):
    before = site.running(stable)
    name = next(each for each in NEXT if each != before)
    site.push(name)
    strategies.shadowed(site.repository, site.images.pins[name])
    routed("derived/strategy-canary", "derived/traffic-gateway-api", strategies.SHADOW)
    namespace, labels = site.namespace(stable), "app.kubernetes.io/name=model-shadow"
    copies = f'sum(ml_inference_requests_total{{namespace="{namespace}",pod=~"model-shadow.*",route="infer"}})'
    wait("the shadow to be asked", lambda: site.asked(copies), 60)
    begun, first = time.time(), site.asked(copies)
    time.sleep(30)
    ended, last = time.time(), site.asked(copies)
    pods = [pod["metadata"]["name"] for pod in site.cluster.listed("pod", namespace, labels)]
    kubectl("-n", namespace, "delete", "pod", *pods, "--grace-period=0", "--force")
    time.sleep(10)
    counts = load.between(begun, time.time())
    asked = load.between(begun, ended).requests / (int(ended) - int(begun)) * (ended - begun)
    found = {"candidate": name, "copies": int(last - first), "of": round(asked), "its_pod_killed": len(pods)}
    figures.put("f: shadow", found | {"total": counts.summary()})
    assert last - first >= MIRRORED * asked
    assert counts.lost == {}
    assert counts.wrong == {}
    assert set(counts.statuses) == {before}, "a client was answered by the shadow"
    assert set(counts.statuses[before]) == {"200"}
    assert len(pods) == 1
