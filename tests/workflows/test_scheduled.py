"""What time starts: retraining, the template's update, the delivery on a cluster."""

import json

import pytest
import yaml

from tests.workflows import payloads


def by_time(lab, workflow):
    (trigger,) = yaml.safe_load((lab.site.work / f".github/workflows/{workflow}.yml").read_text())[True]["schedule"]
    return lab.run(workflow, "schedule", payloads.schedule(lab.site.slug, trigger["cron"]))


@pytest.mark.slow
def test_retraining_holds_the_model_against_production_and_proposes_another_one(lab):
    running = lab.publish(0.0)
    lab.released("staging", running)
    lab.released("production", running)
    lab.environment["PREPARED_SHIFT"] = "0.2"
    run = by_time(lab, "scheduled-retrain")
    assert run.code == 0, run.text
    assert "prepared run --params=validation.champion=data/champion/srv/bundle" in run.said
    (pull,) = lab.hub.open_pulls()
    proposed = lab.site.pin("staging", pull.head)
    assert proposed.digest != running.rpartition("@")[2]
    assert len(lab.store.digests("models/tiny")) > 2  # both images, and what is attached


@pytest.mark.slow
def test_retraining_that_gives_the_same_image_proposes_nothing(lab):
    first = by_time(lab, "scheduled-retrain")
    assert first.code == 0, first.text
    (pull,) = lab.hub.open_pulls()
    again = by_time(lab, "scheduled-retrain")
    assert again.code == 0, again.text
    assert lab.hub.open_pulls() == [pull]


def test_a_repository_that_was_not_generated_has_nothing_to_update(lab):
    run = by_time(lab, "scheduled-template-update")
    assert run.code == 0, run.text
    assert run.jobs == {"update/template-update/update": "success"}
    assert not run.ran("Propose it")
    assert lab.hub.asked == []


@pytest.fixture
def cluster(lab):
    """The cluster's programs are stand-ins, and pytest collects the scenarios without running them."""
    lab.environment["GNUMAKEFLAGS"] = "KEDRO=prepared RUN=module"
    return lab


def test_the_delivery_on_a_cluster_each_night(cluster):
    run = by_time(cluster, "nightly-e2e")
    assert run.code == 0, run.text
    assert run.jobs == {"e2e/e2e/e2e": "success"}
    assert [line for line in run.said if line.startswith("module")] == [
        "module tests.e2e.kind",
        "module tests.e2e.images",
        "module pytest -m cluster --timeout 3600 tests/e2e",
    ]


@pytest.mark.parametrize(
    ("label", "runs"), [pytest.param("e2e", True, marks=pytest.mark.slow), ("documentation", False)]
)
def test_the_delivery_on_a_cluster_by_a_label(cluster, label, runs):
    cluster.site.append("docs/release.md", "\nOne more line.\n")
    head = cluster.site.push("A document", "topic")
    merge = cluster.site.pull_request("topic")
    said = {"event": "pull_request_labeled", "labels": [label], "label": label}
    event = payloads.pull_request(cluster.site.slug, cluster.site.tip, head, "topic", **said)
    run = cluster.run("e2e-by-label", "pull_request", event, merge, None)
    assert run.code == 0, json.dumps(event)
    assert run.jobs == ({"e2e/e2e/e2e": "success"} if runs else {})
