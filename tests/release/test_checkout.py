"""Whose work is whose: promotion and rollback never touch what somebody has not committed."""

import subprocess

import pytest

from tests.release.workshop import STAGING


def _edited(repository):
    repository.write("conf/base/budgets.yml", "half an idea\n")


def _staged(repository):
    _edited(repository)
    repository.git("add", "-A")


def _same_file(repository):
    repository.write(STAGING, (repository.path / STAGING).read_text() + "# half an idea\n")


DIRTY = pytest.mark.parametrize("work", [_edited, _staged, _same_file])


def snapshot(repository):
    files = {p: p.read_bytes() for p in sorted(repository.path.rglob("*")) if p.is_file() and ".git" not in p.parts}
    return files, repository.git("diff"), repository.git("diff", "--cached"), repository.git("rev-parse", "HEAD")


@DIRTY
def test_uncommitted_work_on_the_target_stops_a_merge_before_anything_is_written(alone, work):
    work(alone)
    before, state = snapshot(alone), alone.state()
    outcome = alone.promote("staging", "one", "--merge")
    assert outcome.code == 2
    assert "main is checked out here with uncommitted changes" in outcome.error
    assert len(outcome.error.splitlines()) == 1
    assert (snapshot(alone), alone.state()) == (before, state)


@DIRTY
def test_uncommitted_work_does_not_stop_a_proposal(alone, work):
    work(alone)
    before = snapshot(alone)
    assert alone.promote("staging", "one").code == 0
    assert snapshot(alone) == before


@DIRTY
def test_with_an_origin_uncommitted_work_stays_and_the_origin_moves_on(shared, work):
    work(shared)
    before = snapshot(shared)
    outcome = shared.promote("staging", "one", "--merge")
    assert outcome.code == 0, outcome.error
    assert "has uncommitted changes and stays where it is" in outcome.output
    assert shared.line("staging") == shared.images["one"]
    assert snapshot(shared) == before


@DIRTY
def test_uncommitted_work_on_another_branch_is_no_matter(repository, work):
    repository.git("checkout", "-q", "-b", "idea")
    work(repository)
    before = snapshot(repository)
    repository.released("staging", "one")
    assert repository.line("staging") == repository.images["one"]
    assert snapshot(repository) == before
    assert repository.git("rev-parse", "main") == repository.truth("rev-parse", "main")


def test_untracked_files_and_a_detached_head_are_no_matter(repository):
    repository.write("notes.txt", "mine\n")
    repository.released("staging", "one")
    repository.git("checkout", "-q", "--detach")
    repository.released("staging", "two")
    assert repository.git("status", "--porcelain") == "?? notes.txt"
    assert repository.images["one"] in (repository.path / STAGING).read_text()


def test_the_checkout_of_the_target_follows_wherever_it_is(alone, tmp_path):
    alone.git("checkout", "-q", "-b", "idea")
    alone.git("worktree", "add", "-q", str(tmp_path / "other"), "main")
    alone.released("staging", "one")
    assert alone.images["one"] in (tmp_path / "other" / STAGING).read_text()
    (tmp_path / "other" / STAGING).write_text("half an idea\n")
    outcome = alone.promote("staging", "two", "--merge")
    assert outcome.code == 2
    assert f"{tmp_path / 'other'}: main is checked out here" in outcome.error


def test_local_commits_that_nobody_has_pushed_stay_where_they_are(shared):
    shared.write("NOTES.md", "mine\n")
    mine = shared.commit("Not pushed")
    shared.released("staging", "one")
    assert shared.git("rev-parse", "main") == mine
    assert shared.line("staging") == shared.images["one"]


def test_an_origin_that_is_a_checkout_is_refused_unless_the_work_is_local(alone, tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(alone.path), str(clone)], check=True)
    theirs, alone.path = alone.path, clone
    outcome = alone.promote("staging", "one", "--merge")
    assert outcome.code == 2
    assert "is a checkout, not a bare repository; use --local" in outcome.error
    alone.released("staging", "one", "--local")
    assert alone.line("staging") == alone.images["one"]
    log = subprocess.run(["git", "log", "--oneline", "--all"], cwd=theirs, capture_output=True, text=True, check=True)
    assert len(log.stdout.splitlines()) == 1


def test_an_origin_that_refuses_says_why_and_nothing_is_half_done(shared):
    hook = shared.origin / "hooks" / "pre-receive"
    hook.write_text(
        "#!/bin/sh\nwhile read old new ref; do case $ref in */main) echo reviewed people only >&2; exit 1;; esac; done\n"
    )
    hook.chmod(0o755)
    outcome = shared.promote("staging", "one", "--merge")
    assert outcome.code == 2
    assert "pre-receive hook declined" in outcome.error
    assert len(outcome.error.splitlines()) == 1
    assert shared.line("staging") == "none"
    hook.unlink()
    shared.released("staging", "one")
    assert shared.branches() == {"main"}


def test_an_origin_that_is_gone_is_one_line(shared):
    shared.git("remote", "set-url", "origin", "/nowhere/at/all.git")
    outcome = shared.promote("staging", "one", "--merge")
    assert outcome.code == 2
    assert "'/nowhere/at/all.git' does not appear to be a git repository" in outcome.error
    assert len(outcome.error.splitlines()) == 1


def test_a_branch_of_that_name_that_somebody_has_checked_out_is_not_moved(alone):
    alone.promote("staging", "one")
    branch = next(name for name in alone.branches() if name != "main")
    alone.git("checkout", "-q", branch)
    alone.write("more.txt", "a second commit\n")
    mine = alone.commit("More")
    outcome = alone.promote("staging", "one")
    assert outcome.code == 2
    assert f"{branch} is checked out here" in outcome.error
    assert alone.git("rev-parse", "HEAD") == mine


def test_without_a_name_git_cannot_commit_and_we_say_how(alone, monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    monkeypatch.setenv("EMAIL", "")
    alone.git("config", "user.useConfigOnly", "true")
    before = alone.state()
    outcome = alone.promote("staging", "one", "--merge")
    assert outcome.code == 2
    assert "user.name: is not set" in outcome.error
    assert len(outcome.error.splitlines()) == 1
    assert alone.state() == before


def test_a_persons_git_settings_decide_nothing(alone):
    for key, value in {
        "color.ui": "always",
        "log.showSignature": "true",
        "diff.noprefix": "true",
        "diff.external": "false",
        "core.hooksPath": "/nowhere",
        "push.followTags": "true",
        "merge.ff": "false",
        "core.autocrlf": "true",
        "status.branch": "true",
        "log.diffMerges": "combined",
    }.items():
        alone.git("config", key, value)
    alone.released("staging", "one")
    alone.released("staging", "two")
    assert alone.roll_back("staging", "--merge").code == 0
    assert alone.line("staging") == alone.images["one"]
    assert "took this digest back" in alone.promote("staging", "two").error
