import json

import pytest
import yaml

from tests.release.workshop import STAGING


@pytest.fixture
def event(repository, tmp_path):
    """A notification about what staging runs, as a file; keyword arguments change its payload."""

    def write(pin, event_type="rollout-aborted", **more):
        place = repository.path / "gitops/envs/staging/kustomization.yaml"
        payload = {
            "namespace": yaml.safe_load(place.read_text())["namespace"],
            "rollout": "model",
            "image": f"registry.example.com/model:{pin}",
            "metrics": [{"name": "success-rate", "phase": "Failed", "message": "", "value": "[0.91]"}],
            "unknown": {"to": "us"},
        }
        file = tmp_path / "event.json"
        file.write_text(json.dumps({"event_type": event_type, "client_payload": payload | more}))
        return str(file)

    return write


@pytest.fixture
def two(repository):
    """Staging went from one to two."""
    for name in ("one", "two"):
        repository.released("staging", name)
    return repository


def test_what_the_cluster_sent_back_is_taken_back_in_git(two, event):
    outcome = two.run("rollback", "--event", event(two.images["two"]), "--merge")
    assert outcome.code == 0, outcome.error
    assert two.line("staging") == two.images["one"]
    assert "Why: rollout-aborted: success-rate failed [0.91]" in two.truth("log", "--format=%B", "main", "--", STAGING)


def test_the_same_event_again_does_nothing(two, event):
    file = event(two.images["two"])
    two.run("rollback", "--event", file, "--merge")
    tip = two.truth("rev-parse", "main")
    outcome = two.run("rollback", "--event", file, "--merge")
    assert (outcome.code, two.truth("rev-parse", "main")) == (0, tip)
    assert "nothing to do" in outcome.output


def test_an_event_about_a_version_that_runs_no_more_does_nothing(two, event):
    late = event(two.images["one"])
    tip = two.truth("rev-parse", "main")
    outcome = two.run("rollback", "--event", late, "--merge")
    assert (outcome.code, two.truth("rev-parse", "main")) == (0, tip)
    assert "nothing to do" in outcome.output


def test_what_waits_for_a_person_is_not_rolled_back(two, event):
    tip = two.truth("rev-parse", "main")
    outcome = two.run("rollback", "--event", event(two.images["two"], "rollout-waits"), "--merge")
    assert (outcome.code, two.truth("rev-parse", "main")) == (0, tip)
    assert "for a person" in outcome.output


@pytest.mark.parametrize(
    ("change", "word"),
    [({"namespace": "somebody-elses"}, "namespace"), ({"image": "model:latest"}, "image"), ({"image": 7}, "image")],
    ids=["namespace", "tag", "number"],
)
def test_an_event_that_is_not_ours_is_refused_in_one_line(two, event, change, word):
    outcome = two.run("rollback", "--event", event(two.images["two"], **change), "--merge")
    assert outcome.code == 2
    assert word in outcome.error
    assert outcome.error.count("\n") == 1


def test_an_environment_or_an_event_is_wanted_and_not_both(two, event):
    assert two.run("rollback", "--merge").code == 2
    assert two.run("rollback", "staging", "--event", event(two.images["two"])).code == 2
