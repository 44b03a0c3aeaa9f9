"""A squash keeps our trailers in the middle of its message: history, figures and what goes on next read them there."""

import json

import pytest

from release import history, onward
from release.git import Git
from tests.release.test_status import promote_from
from tests.release.workshop import PRODUCTION

AFTER = "\n\n* Merge branch 'main' into promote/staging/x\n\n---------\n\nCo-authored-by: Ada <ada@example.com>\n"


def squash(repository):
    """The one open proposal, squashed as GitHub does it once somebody had pressed "Update branch"."""
    (branch,) = repository.branches() - {"main"}
    message = repository.git("log", "-1", "--format=%B", branch).strip()
    repository.git("merge", "-q", "--squash", branch)
    repository.git("commit", "-q", "-m", message + AFTER)
    repository.git("branch", "-q", "-D", branch)


def by_hand(repository, environment, before, after, message):
    place = repository.path / f"gitops/envs/{environment}/release/kustomization.yaml"
    place.write_text(place.read_text().replace(repository.images[before], repository.images[after]))
    return repository.commit(message)


def test_a_squashed_promotion_keeps_its_lead_time_and_its_gates(alone, monkeypatch):
    alone.write("model.py", "better\n")
    promote_from(monkeypatch, alone.commit("A better model"))
    alone.promote("staging", "one")
    squash(alone)
    (found,) = json.loads(alone.run("dora", "staging", "--json").output)
    assert found["lead_times_known"] == 1
    assert json.loads(alone.run("status", "staging", "--json").output)["gates"] == "passed"
    assert json.loads(alone.run("history", "staging", "--json").output)[0]["kind"] == "promotion"


def test_a_squashed_rollback_takes_back_and_is_not_promoted_again(alone):
    """To a third image, so that only the trailer says what was taken back."""
    for name in ("one", "two"):
        alone.released("staging", name)
    said = f"Rolled-Back-From: {alone.images.image('two')}\nRolled-Back-To: {alone.images.image('three')}"
    taken = by_hand(alone, "staging", "two", "three", f"Back\n\n{said}{AFTER}")
    by_hand(alone, "staging", "three", "one", "On\n")
    git = Git.at(alone.path)
    assert history.taken_back(history.steps(git, "main", "staging"))[alone.images.image("two")].commit == taken
    (found,) = json.loads(alone.run("dora", "staging", "--json").output)
    assert found["taken_back"] == 1


def test_what_production_took_back_by_a_squash_does_not_go_on_by_itself(alone):
    for name in ("one", "two"):
        for environment in ("staging", "production"):
            alone.released(environment, name)
    said = f"Rolled-Back-From: {alone.images.image('two')}\nRolled-Back-To: {alone.images.image('three')}"
    taken = by_hand(alone, "production", "two", "three", f"Back\n\n{said}{AFTER}")
    found, reason = onward.onward(Git.at(alone.path), "main", "production")
    assert found.digest == ""
    assert f"production took {alone.images['two']} back in {taken[:12]}" in reason
    assert PRODUCTION in alone.git("show", "--name-only", "--format=", taken)


@pytest.mark.parametrize("end", ["", "\r"], ids=["lf", "crlf"])
def test_the_last_of_a_key_counts_and_only_our_keys_at_a_line_s_start(alone, end):
    alone.released("staging", "one")
    lines = [
        "Title",
        "",
        "Gates: forced",
        "Note: Gates: no",
        "  Forced: not this",
        "",
        "Gates: passed",
        "",
        "Signed: x",
    ]
    by_hand(alone, "staging", "one", "two", f"{end}\n".join(lines))
    *_, step = history.steps(Git.at(alone.path), "main", "staging")
    assert step.trailers == {"Gates": "passed"}
