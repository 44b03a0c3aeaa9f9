"""Argo CD says that staging is healthy: what runs there is proposed to production, once, with the same digest."""

import pytest

from release import pin
from tests.workflows import payloads

PRODUCTION = pin.path("production")


def healthy(lab, commit=None, **said):
    return lab.run("production", "status", payloads.status(lab.site.slug, commit or lab.site.tip, **said))


@pytest.fixture
def released(lab):
    """What runs in staging."""
    found = lab.publish(0.0)
    lab.released("staging", found)
    return found


def test_what_staging_is_healthy_with_is_proposed_to_production(lab, released):
    lab.hub.succeed(lab.site.tip, "argocd/model-staging")
    run = healthy(lab)
    assert run.code == 0, run.text
    assert run.jobs == {
        "production/what staging runs": "success",
        "promote/promote/promote to production": "success",
    }
    (pull,) = lab.hub.open_pulls()
    assert lab.numstat("main", pull.head) == [f"1\t1\t{PRODUCTION}"]
    assert str(lab.site.pin("production", pull.head)) == released
    assert lab.site.pin("production").digest == ""  # a person merges it


@pytest.mark.slow
def test_the_same_status_again_changes_nothing(lab, released):
    lab.hub.succeed(lab.site.tip, "argocd/model-staging")
    healthy(lab)
    (pull,) = lab.hub.open_pulls()
    again = healthy(lab)
    assert again.code == 0, again.text
    assert lab.hub.open_pulls() == [pull]


@pytest.mark.parametrize(
    "said",
    [{"state": "failure"}, {"state": "pending"}, {"context": "gate"}, {"context": "argocd/model-production"}],
    ids=lambda said: "-".join(said.values()),
)
def test_any_other_status_starts_nothing(lab, said):
    run = healthy(lab, **said)
    assert run.jobs == {}
    assert lab.hub.asked == []


@pytest.mark.slow
def test_what_production_took_back_is_not_proposed_again_by_itself(lab, released):
    lab.released("production", released)
    lab.rolled_back("production")
    run = healthy(lab)
    assert run.code == 0, run.text
    assert run.jobs == {"production/what staging runs": "success"}
    assert "took" in run.text
    assert lab.hub.writes() == []


@pytest.mark.slow
def test_a_commit_that_is_not_merged_counts_for_nothing(lab, released):
    run = healthy(lab, commit="1" * 40)
    assert run.jobs == {"production/what staging runs": "failure"}
    assert lab.hub.asked == []


@pytest.mark.slow
def test_what_people_closed_is_not_proposed_again_by_itself(lab, released):
    lab.hub.succeed(lab.site.tip, "argocd/model-staging")
    healthy(lab)
    (pull,) = lab.hub.open_pulls()
    pull.state, pull.closed = "closed", pull.created
    written = len(lab.hub.writes())
    run = healthy(lab)
    assert run.code == 0, run.text
    assert run.jobs == {"production/what staging runs": "success"}
    assert f"refused by #{pull.number}" in run.text
    assert len(lab.hub.writes()) == written
