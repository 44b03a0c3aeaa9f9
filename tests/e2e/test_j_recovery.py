"""The ways back of docs/recovery.md: a lost registry, and a lost cluster. Last, since they end what runs."""

import time

import pytest

from tests.e2e.cluster import kubectl, wait
from tests.e2e.images import Images
from tests.e2e.registry import Registry

pytestmark = pytest.mark.cluster


def test_what_runs_outlives_the_registry_and_the_image_comes_back_by_its_digest(site, stable, load, figures):
    name = site.running(stable)
    registry, path = Registry(site.settings.registry), site.repository.image.partition("/")[2]
    begin = time.time()
    registry.forget(path, site.images.image(name))
    assert not registry.has(path, site.images.image(name))
    pod = site.cluster.listed("pod", site.namespace(stable), "app.kubernetes.io/name=model")[0]["metadata"]["name"]
    kubectl("-n", site.namespace(stable), "delete", "pod", pod, "--wait=false")
    wait("the pod to be replaced", lambda: site.cluster.get("pod", site.namespace(stable), pod) is None, 60)
    site.arrive(stable, name, 60)
    site.pushed.discard(name)
    site.push(name)
    assert registry.has(path, site.images.image(name))
    counts = load.between(begin, time.time())
    figures.put("j: lost registry", {"replaced_without_it": True, "total": counts.summary()})
    assert counts.lost == {}


def test_an_image_that_is_built_again_has_the_same_digest(site, figures, tmp_path):
    begun = time.time()
    again = Images(site.images.root, site.settings.bundle, site.settings.builder, site.settings.base)
    again.layout = tmp_path / "layout"
    built = again.build("good-1")
    figures.put("j: built again", {"seconds": round(time.time() - begun), "same": built == site.images.pins["good-1"]})
    assert built == site.images.pins["good-1"]


def test_a_new_cluster_runs_what_ran(site, stable, figures):
    name = site.running(stable)
    site.load.stop()
    site.clear()
    kubectl("-n", "argocd", "delete", "appproject", site.applications, check=False)
    begun = time.time()
    site.install()
    there = site.arrive(stable, name, 300)
    figures.put("j: lost cluster", {"applied_to_healthy_s": round(there - begun, 1), "version": name})
