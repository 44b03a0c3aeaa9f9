"""The template's update beside people: what they committed stays, and a hunk that fits nowhere is shown, not proposed."""

import json
import subprocess

import pytest

from release import template_update
from release.git import Git
from release.github.rest import connect
from tests import tips

BRANCH = template_update.NAME
TIPS = tips.DOCUMENT


def git(place, *arguments):
    done = subprocess.run(["git", *arguments], cwd=place, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def clone(origin, tmp_path):
    place = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(origin), str(place))
    return place


@pytest.fixture
def person(origin, tmp_path):
    """Somebody else's clone, once the branch is there."""

    def resolve(*words):
        place = tmp_path / "person"
        git(tmp_path, "clone", "-q", "-b", BRANCH, str(origin), str(place))
        (place / "README.md").write_text("Resolved.\n")
        git(place, "commit", "-q", "-a", *words)
        git(place, "push", "-q", "--force", "origin", BRANCH)
        return git(place, "rev-parse", "HEAD")

    return resolve


def update(clone, tag="v2", text="Theirs.\n"):
    """As `look` leaves the working tree."""
    (clone / "README.md").write_text(text)
    (clone / template_update.CRUFT).write_text(json.dumps({"template": "x", "checkout": tag}))


def main_moves(clone, path="other.txt"):
    git(clone, "stash", "-q", "-u")
    (clone / path).write_text("Hello.\n")
    git(clone, "add", path)
    git(clone, "commit", "-q", "-m", "Something else")
    git(clone, "push", "-q", "origin", "main")


def proposed(clone):
    return template_update.propose(Git.at(clone), connect())


@pytest.mark.parametrize("words", [("-m", "Resolve it"), ("--amend", "--no-edit")], ids=["on top", "amended"])
def test_what_people_committed_to_the_branch_stays(github, origin, clone, person, monkeypatch, capsys, words):
    update(clone)
    proposed(clone)
    head = person(*words)
    main_moves(clone)
    update(clone, "v3", "Newer.\n")
    monkeypatch.chdir(clone)
    written = len(github.writes())
    assert template_update.main(["propose"]) == 0
    said = capsys.readouterr().out
    assert (said.count("\n"), "people have worked on the branch" in said) == (1, True)
    assert git(origin, "rev-parse", BRANCH) == head
    assert len(github.writes()) == written


def test_an_update_of_ours_is_made_anew_on_a_newer_target(github, origin, clone):
    update(clone)
    proposed(clone)
    first = git(origin, "rev-parse", BRANCH)
    main_moves(clone)
    update(clone, "v3", "Newer.\n")
    proposed(clone)
    assert git(origin, "rev-parse", BRANCH) != first
    assert git(origin, "rev-parse", f"{BRANCH}^") == git(origin, "rev-parse", "main")
    (pull,) = github.open_pulls()
    assert pull.title == "Update from the template, v3"


def test_a_branch_that_was_merged_and_stayed_is_used_again(github, origin, clone, person):
    update(clone)
    proposed(clone)
    person("-m", "Resolve it")
    git(clone, "stash", "-q", "-u")
    git(clone, "pull", "-q", "--no-rebase", "--no-ff", "--no-edit", "origin", BRANCH)
    git(clone, "push", "-q", "origin", "main")
    update(clone, "v3", "Newer.\n")
    proposed(clone)
    (pull,) = github.open_pulls()
    assert pull.title == "Update from the template, v3"


@pytest.fixture
def generated(clone, tmp_path):
    """From a template whose first text this repository has never had, so that nothing can be merged three ways."""
    work = tmp_path / "template"
    tips.write(work, {"v1.0.0": "One.\n", "v1.1.0": "```\nTwo.\n```\n"})
    (clone / template_update.CRUFT).write_text(tips.made_from(work, str(work), "v1.0.0"))
    (clone / "docs").mkdir()
    (clone / TIPS).write_text("Ours.\n")
    return clone


@pytest.mark.parametrize("ignored", ["", "*.orig\n*.rej\n"], ids=["seen", "ignored"])
def test_a_hunk_that_fits_nowhere_makes_a_draft_that_shows_it(github, origin, generated, ignored):
    (generated / ".gitignore").write_text(".venv/\n" + ignored)
    git(generated, "add", "-A")
    git(generated, "commit", "-q", "-m", "Generated")
    git(generated, "push", "-q", "origin", "main")
    assert template_update.look(generated) == "v1.1.0"
    assert (generated / f"{TIPS}.rej").is_file()
    (generated / f"{TIPS}.orig").write_text("Ours.\n")
    (generated / ".venv").mkdir()
    (generated / ".venv/package.py.orig").write_text("Not about a file of ours.\n")
    proposed(generated)
    (pull,) = github.open_pulls()
    assert git(origin, "diff", "--name-only", "main", BRANCH).splitlines() == [template_update.CRUFT]
    assert pull.draft
    assert pull.body.count(f"- `{TIPS}`") == 1
    assert "\n````diff\n" in pull.body
    assert "-One.\n+```\n+Two.\n" in pull.body
    assert "package.py" not in pull.body
    assert ".orig" not in pull.body


def test_hunks_without_end_fit_into_a_body(github, generated):
    git(generated, "add", "-A")
    git(generated, "commit", "-q", "-m", "Generated")
    git(generated, "push", "-q", "origin", "main")
    template_update.look(generated)
    (generated / f"{TIPS}.rej").write_text("+line\n" * 50_000)
    proposed(generated)
    (pull,) = github.open_pulls()
    assert "too long for here" in pull.body
