"""Each policy holds however an environment is put together, and sees a copy that was broken in the way it is for."""

import copy

import pytest

from tests.gitops.breaks import BREAKS
from tests.gitops.policies import POLICIES, breaches
from tests.gitops.variants import ALL, EXTRAS, FULL, STRATEGIES, rendered


@pytest.mark.parametrize("variant", ALL, ids=str)
def test_every_policy_holds(variant):
    manifests = rendered(variant)
    assert [(name, breach) for name in POLICIES for breach in breaches(name, manifests)] == []


CASES = [
    pytest.param(name, variant, change, id=f"{name}-{i}")
    for name, all_of in BREAKS.items()
    for i, (variant, change) in enumerate(all_of)
]


@pytest.mark.parametrize(("name", "variant", "change"), CASES)
def test_a_broken_copy_is_seen(name, variant, change):
    manifests = copy.deepcopy(rendered(variant))
    assert breaches(name, manifests) == []
    change(manifests)
    assert breaches(name, manifests)


def test_every_policy_was_seen_to_fail():
    assert set(BREAKS) == set(POLICIES)


def test_no_component_is_left_out():
    """Whatever folder there is, some variant lists it; and all that go together were put together."""
    assert {variant.strategy for variant in ALL} == set(STRATEGIES)
    assert {extra for variant in ALL for extra in variant.extras} == set(EXTRAS)
    assert {extra for variant in FULL for extra in variant.extras} >= set(EXTRAS) - {"keda", "fixed-replicas"}
