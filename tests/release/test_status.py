"""What runs where, since when, who let it in; what ran before; how often that goes wrong: all of it from git."""

import json
import time

import pytest
from msgspec.structs import replace

from release import dora, history, status, unpack
from release.git import Git
from release.git_forge import GitForge
from tests.release.hosted import Hosted
from tests.release.workshop import STAGING


def ask(repository, *words):
    outcome = repository.run(*words, "--json")
    assert outcome.code == 0, outcome.error
    return json.loads(outcome.output)


@pytest.fixture
def clock(monkeypatch):
    """Sets the time of the commits to come, in days before now."""

    def set_to(days_ago):
        moment = f"@{int(time.time() - days_ago * 86400)} +0000"
        monkeypatch.setenv("GIT_COMMITTER_DATE", moment)
        monkeypatch.setenv("GIT_AUTHOR_DATE", moment)

    return set_to


@pytest.fixture
def as_somebody(monkeypatch):
    def be(name):
        for who in ("AUTHOR", "COMMITTER"):
            monkeypatch.setenv(f"GIT_{who}_NAME", name)
            monkeypatch.setenv(f"GIT_{who}_EMAIL", f"{name.lower()}@example.com")

    return be


def test_every_environment_is_listed_and_production_last(repository):
    repository.released("staging", "one")
    found = ask(repository, "status")
    assert [each["environment"] for each in found] == ["staging", "production"]
    assert [each["tag"] for each in found] == [repository.images["one"].partition("@")[0], ""]


def test_it_says_who_proposed_and_who_merged(alone, as_somebody):
    as_somebody("Ada")
    alone.promote("staging", "one")
    (branch,) = alone.branches() - {"main"}
    as_somebody("Grace")
    alone.git("merge", "-q", "--no-ff", "-m", "In\n\nReviewed-by: Alan <alan@example.com>", branch)
    found = ask(alone, "status", "staging")
    assert (found["proposed_by"], found["merged_by"], found["approved_by"]) == ("Ada", "Grace", ["Alan"])


def test_since_is_when_it_came_in_and_not_when_it_was_proposed(alone, clock):
    clock(9)
    alone.promote("staging", "one")
    (branch,) = alone.branches() - {"main"}
    clock(2)
    alone.git("merge", "-q", "--no-ff", "-m", "In", branch)
    found = ask(alone, "status", "staging")
    assert found["since"] == alone.git("log", "-1", "--format=%cd", "--date=format-local:%FT%TZ", "main")
    assert "(2 d" in alone.run("status").output


def test_the_gates_are_those_of_the_promotion(repository):
    repository.released("staging", "one")
    found = ask(repository, "status", "staging")
    assert (found["gates"], found["checks"]) == ("passed", {"quality": "pass", "latency": "pass"})


def test_a_forced_release_says_so(repository):
    repository.released("staging", "failed", "--force", "--reason", "a demo")
    found = ask(repository, "status", "staging")
    assert (found["gates"], found["checks"]["quality"]) == ("forced (a demo)", "fail")


def test_a_forge_that_knows_who_approved_is_asked(alone):
    alone.released("staging", "one")
    git = Git.at(alone.path)
    forge = Hosted(GitForge(git), approvers={alone.git("rev-parse", "main"): ("ada", "grace")})
    assert status.status(git, forge, "staging", None).approved_by == ("ada", "grace")


def test_an_unknown_environment_is_one_line(repository):
    for command in ("status", "history", "dora"):
        outcome = repository.run(command, "moon")
        assert (outcome.code, outcome.error.count("\n")) == (2, 1), command


def test_the_history_says_what_each_change_was(repository):
    repository.released("staging", "one")
    repository.released("staging", "two")
    repository.roll_back("staging", "--merge", "--reason", "too warm")
    repository.released("staging", "two", "--force", "--reason", "after all")
    found = ask(repository, "history", "staging")
    assert [each["kind"] for each in found] == ["forced promotion", "rollback", "promotion", "promotion"]
    assert [each["why"] for each in found] == ["after all", "too warm", "", ""]
    assert found[-1]["before"] == "none"
    text = repository.run("history", "staging").output
    assert text.splitlines()[2].split()[1] == "rollback"


def test_a_change_by_hand_and_a_revert_by_hand_are_told_apart(alone):
    alone.released("staging", "one")
    place = alone.path / STAGING
    place.write_text(place.read_text().replace(alone.images["one"], alone.images["two"]))
    alone.commit("By hand")
    alone.git("revert", "--no-edit", "HEAD")
    assert [each["kind"] for each in ask(alone, "history", "staging")] == [
        "revert by hand",
        "change by hand",
        "promotion",
    ]


def test_an_environment_without_a_past_says_so(repository):
    assert "nothing was ever released" in repository.run("history", "production").output
    assert ask(repository, "dora", "production")[0]["change_failure_rate"] is None


def test_what_was_taken_back_is_in_the_history_with_what_had_released_it(alone):
    alone.released("staging", "one")
    alone.released("staging", "two")
    alone.roll_back("staging", "--merge")
    (found,) = history.returns(history.steps(Git.at(alone.path), "main", "staging"))
    assert found.digest == alone.images.image("two")
    assert found.released.after.digest == found.digest


def test_the_four_figures(alone, clock):
    """Three releases in the last 30 days, one of them taken back after two hours, and one long ago."""
    clock(100)
    alone.released("staging", "empty", "--force", "--reason", "a demo")
    clock(20)
    alone.released("staging", "one")
    clock(10)
    alone.released("staging", "two")
    clock(10 - 2 / 24)
    alone.roll_back("staging", "--merge")
    clock(5)
    alone.released("staging", "three")
    (found,) = ask(alone, "dora", "staging", "--days", "30")
    assert (found["deployments"], found["taken_back"]) == (3, 1)
    assert found["change_failure_rate"] == pytest.approx(1 / 3)
    assert found["time_to_restore_seconds"] == pytest.approx(7200, abs=2)
    assert found["deployments_per_week"] == pytest.approx(0.7)
    text = alone.run("dora", "--days", "30").output
    assert "33 % (1 of 3)" in text
    assert "0.7 a week" in text
    assert "2 h" in text


def test_lead_time_is_from_the_commit_that_was_trained_from_to_the_merge(alone, clock, monkeypatch):
    clock(9)
    alone.write("model.py", "better\n")
    trained_from = alone.commit("A better model")
    clock(6)
    promote_from(monkeypatch, trained_from)
    alone.promote("staging", "one")
    (branch,) = alone.branches() - {"main"}
    clock(5)
    alone.git("merge", "-q", "--no-ff", "-m", "In", branch)
    (found,) = ask(alone, "dora", "staging")
    assert found["lead_time_seconds"] == pytest.approx(4 * 86400, abs=2)
    assert found["lead_times_known"] == 1


def test_a_model_from_a_commit_that_nobody_has_has_no_lead_time(alone):
    alone.released("staging", "one")
    (found,) = ask(alone, "dora", "staging")
    assert (found["deployments"], found["lead_times_known"], found["lead_time_seconds"]) == (1, 0, None)


def test_figures_of_no_time_are_refused(alone):
    assert "--days: is 0" in alone.run("dora", "--days", "0").error


def test_a_merge_queue_s_squash_counts_like_a_merge(alone, clock):
    clock(3)
    alone.promote("staging", "one")
    (branch,) = alone.branches() - {"main"}
    clock(1)
    alone.git("merge", "-q", "--squash", branch)
    alone.git("commit", "-q", "--no-edit")
    found = dora.measure(Git.at(alone.path), GitForge(Git.at(alone.path)), "staging", 30, time.time() + 1)
    assert found.deployments == 1


def promote_from(monkeypatch, commit):
    """As if the bundle had been trained from that commit."""
    known = unpack.provenance
    monkeypatch.setattr(unpack, "provenance", lambda *place: replace(known(*place), git_sha=commit))


def test_whoever_reads_only_the_first_line_sees_no_trace(alone):
    for name in ("one", "two", "three"):
        alone.released("staging", name)
    with alone.process("history", "staging", "--local") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
