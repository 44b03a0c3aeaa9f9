"""What reviewers and machines see on GitHub: the body, how staging is, who approved, the one comment."""

import json

import pytest

from contracts import report as reports
from tests.github.hub import Hub

CONTEXT = "argocd/{}-staging"


@pytest.fixture
def application(hosted):
    text = (hosted.path / "gitops/argocd/applicationset.yaml").read_text()
    return text.partition("template:")[2].partition("name: ")[2].partition("-{{")[0]


def promote(repository, environment, name, *more):
    layout = ("--layout", str(repository.images.layout))
    return repository.run("promote", environment, "--image", repository.images[name], *layout, *more)


def pull_of(github: Hub, environment):
    return [pull for pull in github.pulls.values() if f"/{environment}/" in pull.head][-1]


@pytest.fixture
def in_staging(github, hosted):
    assert promote(hosted, "staging", "one", "--merge").code == 0
    return hosted.truth("rev-parse", "main")


@pytest.mark.parametrize(("state", "health"), [("success", "healthy"), ("", "unknown")])
def test_the_body_says_how_staging_is(github, hosted, in_staging, application, state, health):
    if state:
        github.succeed(in_staging, CONTEXT.format(application))
    outcome = promote(hosted, "production", "one")
    assert outcome.code == 0, outcome.error
    pull = pull_of(github, "production")
    assert pull.body.startswith("One line changes, and nothing is built again.\n\n| | `production` |")
    assert ("healthy in staging" in pull.body) is (health == "healthy")
    assert f"Staging-Health: {health}" in hosted.truth("log", "-1", "--format=%B", pull.head)


def test_the_one_comment_is_edited_and_not_written_again(github, hosted, tmp_path, in_staging):
    promote(hosted, "production", "one")
    number = pull_of(github, "production").number
    texts = []
    for status in ("fail", "pass", "pass"):
        check = reports.Check(gate="loadtest", name="p99 latency, ms", status=status, value=250.0, threshold=100)
        reports.write(reports.Report(title="Load test", checks=(check,)), tmp_path / "reports", "loadtest")
        outcome = hosted.run("summarise", "--reports", str(tmp_path / "reports"), "--pull-request", str(number))
        assert outcome.code == 0, outcome.error
        texts.append(len(github.writes()))
    assert len(github.comments) == 1
    assert texts[1] == texts[2]  # the same again: nothing is asked to change
    assert "Everything lets it through" in str(github.comments)


def test_who_approved_is_said(github, hosted, in_staging):
    found = json.loads(hosted.run("status", "staging", "--json").output)
    assert (found["approved_by"], found["gates"]) == ([], "passed")
    assert found["tag"] == hosted.images["one"].partition("@")[0]


def test_the_doctor_asks_github_too_and_says_what_it_cannot(github, hosted):
    outcome = hosted.run("doctor", "--json", "--layout", str(hosted.images.layout))
    found = json.loads(outcome.output)
    assert {each["gate"] for each in found} == {"repository", "github"}
    assert outcome.code == 1  # nobody has set it up
    alone = json.loads(hosted.run("doctor", "--json", "--forge", "git").output)
    assert {each["gate"] for each in alone} == {"repository"}
