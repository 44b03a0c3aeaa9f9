"""The command that a pull request's body prints takes the promotion back, whichever way GitHub merged it."""

import re
import subprocess

import pytest

from tests.forge.test_way import promotion, pull_of, released
from tests.github.hub import Token
from tests.github.merging import merge
from tests.release.workshop import STAGING

WAYS = pytest.mark.parametrize("way", ["merge", "squash", "rebase"])


def command_of(pull):
    """The one command of the body."""
    (found,) = re.findall(r"^[ \t]*(git revert .*)$", pull.body, re.MULTILINE)
    return found


def merged(github, repository, name, way):
    """A promotion that somebody merged by the button, after somebody else's commit; gives its pull request."""
    assert repository.run(*promotion(repository, "staging", name)).code == 0
    pull = pull_of(github, "staging")
    elsewhere(repository, "BETWEEN.md", f"{name}\n")
    with github.lock:
        merge(github, pull, Token("a-person"), way, None, None)
        github.git.remove(f"refs/heads/{pull.head}")
    repository.git("pull", "-q", "--ff-only", str(repository.origin), "main")
    return pull


def elsewhere(repository, path, text):
    repository.git("pull", "-q", "--ff-only", str(repository.origin), "main")
    repository.write(path, text)
    repository.commit(f"Write {path}")
    repository.share()


def run(repository, command):
    """What a person does with it: paste it into a shell, in a clone that is up to date."""
    done = subprocess.run(["bash", "-c", command], cwd=repository.path, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        repository.share()
    return done


@WAYS
def test_it_takes_exactly_the_promotion_back(github, hosted, way):
    released(github, hosted, "staging", "one")
    before = hosted.render("staging")
    pull = merged(github, hosted, "two", way)
    elsewhere(hosted, "LATER.md", "Later.\n")
    done = run(hosted, command_of(pull))
    assert done.returncode == 0, done.stderr
    assert hosted.render("staging") == before
    assert hosted.truth("diff", "--numstat", "main^", "main") == f"1\t1\t{STAGING}"
    assert hosted.truth("show", "main:LATER.md") == "Later."
    assert "took this digest back" in hosted.promote("staging", "two").error  # history knows, without a ledger


@WAYS
def test_twice_it_changes_nothing_more_and_leaves_nothing_behind(github, hosted, way):
    released(github, hosted, "staging", "one")
    command = command_of(merged(github, hosted, "two", way))
    assert run(hosted, command).returncode == 0
    once = hosted.git("rev-parse", "main")
    run(hosted, command)
    assert hosted.git("rev-parse", "main") == once
    assert hosted.git("status", "--porcelain") == ""
    assert not (hosted.path / ".git/REVERT_HEAD").exists()
    assert not (hosted.path / ".git/sequencer").exists()
    outcome = hosted.roll_back("staging", "--merge")
    assert (outcome.code, "already" in outcome.output) == (0, True)
    assert hosted.line("staging") == hosted.images["one"]


@WAYS
def test_a_later_edit_of_the_file_stays(github, hosted, way):
    released(github, hosted, "staging", "one")
    command = command_of(merged(github, hosted, "two", way))
    text = (hosted.path / STAGING).read_text()
    elsewhere(hosted, STAGING, "# Ask the team first.\n" + text)
    assert run(hosted, command).returncode == 0
    assert hosted.line("staging") == hosted.images["one"]
    assert hosted.truth("show", f"main:{STAGING}").startswith("# Ask the team first.\n")


@WAYS
def test_where_a_later_edit_meets_the_line_git_stops_and_rollback_writes_the_pin(github, hosted, way):
    released(github, hosted, "staging", "one")
    command = command_of(merged(github, hosted, "two", way))
    text = (hosted.path / STAGING).read_text()
    elsewhere(hosted, STAGING, text.replace("\n    newTag: ", "\n    # measured on Monday\n    newTag:   "))
    assert run(hosted, command).returncode != 0
    hosted.git("revert", "--abort")
    outcome = hosted.roll_back("staging", "--merge")
    assert outcome.code == 0, outcome.error
    assert f"# measured on Monday\n    newTag:   {hosted.images['one']}" in hosted.truth("show", f"main:{STAGING}")
    assert "meets the same lines" in github.git.commit(pull_of(github, "staging").sha).message


@WAYS
def test_a_rollback_is_not_taken_back(github, hosted, way):
    released(github, hosted, "staging", "one")
    command = command_of(merged(github, hosted, "two", way))
    assert hosted.roll_back("staging", "--merge").code == 0
    rollback = pull_of(github, "staging")
    assert "git revert" not in rollback.body
    refs, written = hosted.truth("for-each-ref"), len(github.writes())
    outcome = hosted.roll_back("staging", "--merge")
    assert (outcome.code, "a rollback is not" in outcome.output) == (0, True)
    hosted.git("pull", "-q", "--ff-only", str(hosted.origin), "main")
    run(hosted, command)  # the promotion's own command: it is back already
    assert hosted.truth("for-each-ref") == refs
    assert len(github.writes()) == written
    assert hosted.line("staging") == hosted.images["one"]


def test_a_promotion_that_waited_while_other_files_changed_prints_the_command_for_what_was_merged(github, hosted):
    """The target moved under an open pull request: that stays as it was, and its command finds the bump."""
    released(github, hosted, "staging", "one")
    before = hosted.render("staging")
    assert hosted.run(*promotion(hosted, "staging", "two")).code == 0
    first = command_of(pull_of(github, "staging"))
    elsewhere(hosted, "BETWEEN.md", "x\n")
    assert hosted.run(*promotion(hosted, "staging", "two", "--merge")).code == 0
    pull = pull_of(github, "staging")
    assert len(github.pulls) == 2
    assert command_of(pull) == first
    hosted.git("pull", "-q", "--ff-only", str(hosted.origin), "main")
    assert run(hosted, command_of(pull)).returncode == 0
    assert hosted.render("staging") == before
