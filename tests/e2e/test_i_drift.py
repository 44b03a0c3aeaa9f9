"""What Argo CD makes of a change that git does not know: it is put back. That it leaves the controller's own alone, b shows."""

import time

import pytest

from tests.e2e.cluster import kubectl, wait
from tests.e2e.site import ROLLOUT

pytestmark = pytest.mark.cluster


def test_a_hand_edit_is_put_back(site, stable, figures):
    namespace = site.namespace(stable)
    before = site.cluster.get("rollout", namespace, ROLLOUT)["spec"]["minReadySeconds"]
    begun = time.time()
    site.cluster.patch("rollout", namespace, ROLLOUT, {"spec": {"minReadySeconds": before + 30}})
    assert site.cluster.get("rollout", namespace, ROLLOUT)["spec"]["minReadySeconds"] in (before, before + 30)

    def put_back():
        return site.cluster.get("rollout", namespace, ROLLOUT)["spec"]["minReadySeconds"] == before

    wait("the edit to be put back", put_back, 60)
    found = {"put_back_s": round(time.time() - begun, 1)}
    begun = time.time()
    kubectl("-n", namespace, "delete", "poddisruptionbudget", ROLLOUT)
    budget = f"apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/{ROLLOUT}"
    wait("what was deleted to be made again", lambda: site.cluster.ask(budget), 60)
    figures.put("i: hand edits", found | {"deleted_and_made_again_s": round(time.time() - begun, 1)})
