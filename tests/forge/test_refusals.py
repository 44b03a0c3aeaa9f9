"""A promotion that people closed without a merge does not come back with the next healthy status."""

import pytest

from release import onward
from release.git import Git
from release.github.forge import GitHubForge
from release.github.rest import connect
from tests.forge.test_way import promotion, released


@pytest.fixture
def proposed(github, hosted, tmp_path, monkeypatch):
    """Staging runs an image, production's pull request is open, and this is where the workflow would ask."""
    released(github, hosted, "staging", "one")
    assert hosted.run(*promotion(hosted, "production", "one")).code == 0
    monkeypatch.chdir(hosted.path)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    (pull,) = github.open_pulls()
    return pull


def asked(tmp_path):
    """What the next healthy status leads to."""
    (tmp_path / "output").unlink(missing_ok=True)
    assert onward.main(["HEAD"]) == 0
    return (tmp_path / "output").read_text().removeprefix("pin=").strip()


def close(pull, state="closed"):
    connect().write("PATCH", f"pulls/{pull.number}", {"state": state})


def test_what_people_closed_stops_there_in_one_line(hosted, proposed, tmp_path, capsys):
    assert asked(tmp_path) == hosted.images["one"]
    close(proposed)
    capsys.readouterr()
    assert asked(tmp_path) == ""
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert f"refused by #{proposed.number}; reopen it, or promote by hand" in said


def test_one_whose_branch_was_deleted_is_refused_too(hosted, proposed, tmp_path):
    close(proposed)
    connect().write("DELETE", f"git/refs/heads/{proposed.head}")
    assert asked(tmp_path) == ""


def test_one_that_was_reopened_goes_on(hosted, proposed, tmp_path):
    close(proposed)
    close(proposed, "open")
    assert asked(tmp_path) == hosted.images["one"]


def test_by_hand_it_can_be_promoted_all_the_same(github, hosted, proposed, tmp_path):
    close(proposed)
    assert hosted.run(*promotion(hosted, "production", "one")).code == 0
    (again,) = github.open_pulls()
    assert again.number != proposed.number
    assert asked(tmp_path) == hosted.images["one"]
    close(again)
    forge = GitHubForge(Git.at(hosted.path), connect())
    assert forge.declined(again.head) == again.number


def test_another_image_is_not_refused_with_it(github, hosted, proposed, tmp_path):
    close(proposed)
    released(github, hosted, "staging", "two")
    assert asked(tmp_path) == hosted.images["two"]


def test_one_that_was_merged_is_no_refusal(github, hosted, proposed):
    released(github, hosted, "production", "one")
    assert GitHubForge(Git.at(hosted.path), connect()).declined(proposed.head) == 0
    assert github.pulls[proposed.number].merged
