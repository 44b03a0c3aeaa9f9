"""An environment's first version, good or not: nothing runs there before."""

import time

import pytest

from tests.e2e.cluster import kubectl, wait
from tests.e2e.versions import NEVER_THERE

pytestmark = pytest.mark.cluster
FIRST = "good-1"
PATIENCE = 40  # seconds that a good version gets to take over by itself


def waiting(site, environment):
    """Why containers wait."""
    pods = site.cluster.listed("pod", site.namespace(environment))
    states = [s.get("state", {}).get("waiting", {}) for p in pods for s in p["status"].get("containerStatuses", [])]
    return sorted({state["reason"] for state in states if state})


def test_a_first_deployment_that_cannot_start_is_mended_as_the_page_says(site, figures):
    told = site.deliver("staging", NEVER_THERE)
    reasons = wait(
        "the image to be missed", lambda: {"ErrImagePull", "ImagePullBackOff"} & {*waiting(site, "staging")}, 90
    )
    seen = time.time()
    before = site.state("staging")
    told_good = site.deliver("staging", FIRST)
    deleted = ""
    try:
        site.arrive("staging", FIRST, PATIENCE)
    except AssertionError:
        deleted = "the Rollout had to be deleted; Argo CD made it again"
        kubectl("-n", site.namespace("staging"), "delete", "rollout", "model")
        site.tell("staging")
        site.arrive("staging", FIRST, 120)
    there = time.time()
    found = {"missed_after_s": round(seen - told, 1), "reasons": sorted(reasons), "before": before}
    found |= {"mended_after_s": round(there - told_good, 1), "how": deleted or "the good version took over by itself"}
    figures.put("a: a first deployment that cannot start", found)


def test_a_first_deployment_becomes_healthy(site, figures):
    merged = site.promoted("production", FIRST)
    told = site.tell("production")
    wait("the application", lambda: site.state("production").get("phase"), 240)
    made = time.time()
    there = site.arrive("production", FIRST)
    found = {"merge_to_application_s": round(made - merged, 1), "told_to_healthy_s": round(there - told, 1)}
    figures.put("a: first deployment", found | {"replicas": site.state("production")["ready"]})
    assert site.state("production")["ready"] >= 1


def test_an_environment_is_taken_back_to_nothing(site, figures):
    site.rolled_back("production")
    told = site.tell_set()
    wait("the application to go", lambda: not site.state("production")["health"], 240)
    gone = time.time()
    assert site.state("production")["ready"] >= 1, "what ran went away with the application"
    site.take_down("production")
    wait("the pods to go", lambda: not site.cluster.listed("pod", site.namespace("production")), 90)
    found = {"application_gone_s": round(gone - told, 1), "pods_gone_s": round(time.time() - gone, 1)}
    figures.put("a: back to nothing", found)
