"""The whole way on GitHub: promote, merge, production, abort, revert pull request; every step twice."""

import json

import pytest
import yaml

from tests.release.workshop import PRODUCTION, STAGING


def pull_of(github, environment):
    """The newest pull request of an environment."""
    return [pull for pull in github.pulls.values() if f"/{environment}/" in pull.head][-1]


def twice(github, repository, *arguments):
    """Run a command, and again: the second time nothing is asked to change. Gives what the first one said."""
    first = repository.run(*arguments)
    assert first.code == 0, first.error
    refs, written, pulls = repository.truth("for-each-ref"), len(github.writes()), len(github.pulls)
    again = repository.run(*arguments)
    assert again.code == 0, again.error
    assert (repository.truth("for-each-ref"), len(github.pulls)) == (refs, pulls)
    assert len(github.writes()) == written
    return first


def promotion(repository, environment, name, *more):
    layout = str(repository.images.layout)
    return ("promote", environment, "--image", repository.images[name], "--layout", layout, *more)


def aborted(repository, file, environment, pin, **more):
    """The notification that an environment's version was sent back, as the cluster writes it."""
    place = repository.path / f"gitops/envs/{environment}/kustomization.yaml"
    payload = {
        "format": 1,
        "namespace": yaml.safe_load(place.read_text())["namespace"],
        "rollout": "model",
        "image": f"registry.example.com/model:{pin}",
        "metrics": [{"name": "success-rate", "phase": "Failed", "message": "", "value": "[0.91]"}],
    }
    file.write_text(json.dumps({"event_type": "rollout-aborted", "client_payload": payload | more}))
    return ("rollback", "--event", str(file), "--merge")


def released(github, repository, environment, name):
    outcome = repository.run(*promotion(repository, environment, name, "--merge"))
    assert outcome.code == 0, outcome.error


def test_from_a_promotion_to_the_revert_of_an_abort_and_every_step_twice(github, hosted, tmp_path):
    for environment in ("staging", "production"):
        released(github, hosted, environment, "one")
    before = {environment: hosted.render(environment) for environment in ("staging", "production")}

    said = twice(github, hosted, *promotion(hosted, "staging", "two"))
    pull = pull_of(github, "staging")
    assert f"https://github.com/{github.full_name}/pull/{pull.number}" in said.output
    assert pull.title.startswith("Promote rainy-days 2-")
    assert set(pull.labels) == {"promotion", "staging"}
    assert "git revert" in pull.body
    assert hosted.truth("diff", "--numstat", f"main...{pull.head}") == f"1\t1\t{STAGING}"
    assert hosted.line("staging") == hosted.images["one"]

    assert hosted.promote("production", "two").code == 2  # not in staging yet
    twice(github, hosted, *promotion(hosted, "staging", "two", "--merge"))
    assert github.pulls[pull.number].merged
    assert hosted.line("staging") == hosted.images["two"]

    twice(github, hosted, *promotion(hosted, "production", "two", "--merge"))
    assert hosted.line("production") == hosted.images["two"]
    merged = pull_of(github, "production").merged
    assert hosted.truth("diff", "--numstat", f"{merged}^1", merged) == f"1\t1\t{PRODUCTION}"

    event = aborted(hosted, tmp_path / "event.json", "production", hosted.images["two"])
    twice(github, hosted, *event)
    revert = pull_of(github, "production")
    assert revert.title.startswith('Revert "Promote rainy-days 2-')
    assert set(revert.labels) == {"rollback", "production"}
    assert revert.merged
    assert hosted.line("production") == hosted.images["one"]
    assert hosted.render("production") == before["production"]
    assert hosted.render("staging") != before["staging"]
    assert hosted.branches() == {"main"}
    assert github.open_pulls() == []
    assert hosted.git("status", "--porcelain") == ""
    assert hosted.git("rev-parse", "main") == hosted.truth("rev-parse", "main")  # the clone came along


@pytest.mark.parametrize("method", ["squash", "rebase"])
def test_a_repository_that_allows_only_one_way_to_merge(github, hosted, tmp_path, method):
    github.options |= {"allow_merge_commit": False, "allow_squash_merge": method == "squash"}
    github.options["squash_merge_commit_message"] = "BLANK"  # what history is read from comes along all the same
    released(github, hosted, "staging", "one")
    twice(github, hosted, *promotion(hosted, "staging", "two", "--merge"))
    assert hosted.truth("log", "--merges", "--format=%h") == ""
    message = hosted.truth("log", "-1", "--format=%B")
    assert "Image-Digest: " + hosted.images.image("two") in message
    assert hosted.branches() == {"main"}
    twice(github, hosted, *aborted(hosted, tmp_path / "event.json", "staging", hosted.images["two"]))
    assert hosted.line("staging") == hosted.images["one"]
    assert "took this digest back" in hosted.promote("staging", "two").error


def test_who_merges_by_the_button_and_deletes_the_branch_later(github, hosted):
    github.options["delete_branch_on_merge"] = True
    assert hosted.run(*promotion(hosted, "staging", "one")).code == 0
    (pull,) = github.open_pulls()
    from tests.github.hub import Token
    from tests.github.merging import merge

    merge(github, pull, Token("a-person"), "merge", None, None)
    outcome = hosted.run(*promotion(hosted, "staging", "one", "--merge"))
    assert (outcome.code, "nothing to do" in outcome.output) == (0, True)
    assert hosted.branches() == {"main"}


def test_a_merge_that_checks_hold_back_waits_for_them_and_a_review_is_told(github, hosted, monkeypatch):
    waited = []
    monkeypatch.setattr("release.github.rest.Rest.sleep", lambda rest, seconds: waited.append(seconds) or passes())
    github.protect(checks=("gate",))

    def passes():
        (pull,) = github.open_pulls()
        if len(waited) == 3:
            github.succeed(github.head(pull))

    outcome = hosted.run(*promotion(hosted, "staging", "one", "--merge"))
    assert outcome.code == 0, outcome.error
    assert len(waited) == 3
    assert 'Required status check "gate" is expected.; waiting for it' in outcome.error

    github.protect(reviews=1)
    outcome = hosted.run(*promotion(hosted, "staging", "two", "--merge"))
    assert (outcome.code, outcome.error.count("\n")) == (2, 1)
    assert "stays open" in outcome.error
    assert "approving review" in outcome.error
    assert hosted.line("staging") == hosted.images["one"]
    assert len(github.open_pulls()) == 1


def test_a_check_that_failed_is_not_waited_for(github, hosted, monkeypatch):
    monkeypatch.setattr("release.github.rest.Rest.sleep", lambda rest, seconds: pytest.fail("waited"))
    github.protect(checks=("gate",))
    assert hosted.run(*promotion(hosted, "staging", "one")).code == 0
    (pull,) = github.open_pulls()
    github.succeed(github.head(pull), state="failure")
    outcome = hosted.run(*promotion(hosted, "staging", "one", "--merge"))
    assert outcome.code == 2
    assert 'Required status check "gate" is expected.' in outcome.error


def test_other_checks_may_fail_and_a_cancelled_one_comes_again(github, hosted, monkeypatch):
    github.protect(checks=("gate",))
    assert hosted.run(*promotion(hosted, "staging", "one")).code == 0
    (pull,) = github.open_pulls()
    github.succeed(github.head(pull), "somebody's own", state="failure")
    waits = []
    passes = lambda rest, seconds: waits.append(seconds) or github.succeed(github.head(pull))  # noqa: E731
    monkeypatch.setattr("release.github.rest.Rest.sleep", passes)
    outcome = hosted.run(*promotion(hosted, "staging", "one", "--merge"))
    assert outcome.code == 0, outcome.error
    assert len(waits) == 1


def test_a_pull_request_stays_as_it_is_while_other_files_change(github, hosted):
    """Made anew, it would lose its approvals with every merge of somebody else."""
    assert hosted.run(*promotion(hosted, "production", "one")).code == 2  # not in staging yet
    released(github, hosted, "staging", "one")
    assert hosted.run(*promotion(hosted, "production", "one")).code == 0
    (pull,) = github.open_pulls()
    head, body = github.head(pull), pull.body
    hosted.git("pull", "-q", "--ff-only", str(hosted.origin), "main")
    hosted.write("README.md", "something else\n")
    hosted.commit("Something else")
    hosted.share()
    outcome = hosted.run(*promotion(hosted, "production", "one"))
    assert outcome.code == 0, outcome.error
    assert (github.head(pull), pull.body) == (head, body)
    assert hosted.run(*promotion(hosted, "production", "one", "--merge")).code == 0
    assert hosted.line("production") == hosted.images["one"]


def test_an_app_on_the_bypass_list_merges_a_rollback_at_once(github, hosted, tmp_path, monkeypatch):
    from tests.github.hub import APP, Token

    for name in ("one", "two"):
        released(github, hosted, "staging", name)
    github.rulesets[1] = {
        "name": "main-review",
        "enforcement": "active",
        "target": "branch",
        "conditions": {"ref_name": {"include": ["~DEFAULT_BRANCH"], "exclude": []}},
        "bypass_actors": [{"actor_id": APP, "actor_type": "Integration", "bypass_mode": "pull_request"}],
        "rules": [{"type": "pull_request", "parameters": {"required_approving_review_count": 1}}],
    }
    event = aborted(hosted, tmp_path / "event.json", "staging", hosted.images["two"])
    refused = hosted.run(*event)
    assert refused.code == 2
    assert "approving review" in refused.error
    github.tokens["of-the-app"] = Token("release-app[bot]", app=APP)
    monkeypatch.setenv("GITHUB_TOKEN", "of-the-app")
    outcome = hosted.run(*event)
    assert outcome.code == 0, outcome.error
    assert hosted.line("staging") == hosted.images["one"]
    assert len([pull for pull in github.pulls.values() if pull.head.startswith("rollback/")]) == 1


@pytest.mark.parametrize("words", [["--forge", "git"], ["--local"]])
def test_github_is_left_out_where_told_so(github, hosted, words):
    hosted.git("remote", "set-url", "origin", str(hosted.origin))
    outcome = hosted.run(*promotion(hosted, "staging", "one", "--merge", *words))
    assert outcome.code == 0, outcome.error
    assert github.asked == []


def test_auto_is_plain_git_without_a_token(github, hosted, monkeypatch):
    hosted.git("remote", "set-url", "origin", str(hosted.origin))
    monkeypatch.delenv("GITHUB_TOKEN")
    assert hosted.run(*promotion(hosted, "staging", "one")).code == 0
    assert github.asked == []
    outcome = hosted.run(*promotion(hosted, "staging", "one", "--forge", "github"))
    assert outcome.code == 2
    assert "GITHUB_TOKEN: is not set" in outcome.error


def test_show_reads_what_github_has(github, hosted):
    released(github, hosted, "staging", "one")
    hosted.git("reset", "-q", "--hard", "HEAD~1")
    outcome = hosted.run("show", "staging", "--json", "--layout", str(hosted.images.layout))
    assert json.loads(outcome.output)["image_digest"] == hosted.images.image("one")
