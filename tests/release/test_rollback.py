import subprocess

import pytest

from release import pin
from tests.release.workshop import STAGING


def _by_the_tool(repository):
    repository.released("staging", "two")


def _open(repository):
    assert repository.promote("staging", "two").code == 0
    digest = repository.images.image("two").removeprefix("sha256:")[:12]
    return f"{'origin/' if repository.origin else ''}promote/staging/{digest}"


def _merge(repository):
    repository.git("fetch", "-q", "--all")
    repository.git("merge", "-q", "--no-ff", "--no-edit", _open(repository))
    repository.share()


def _squash(repository):
    branch = _open(repository)
    repository.git("fetch", "-q", "--all")
    message = repository.git("log", "-1", "--format=%B", branch)
    repository.git("merge", "-q", "--squash", branch)
    repository.git("commit", "-q", "-m", f"{message.splitlines()[0]} (#12)")  # a title is all that some forges keep
    repository.share()


def _rebase(repository):
    branch = _open(repository)
    unrelated(repository)  # so that the rebased commit is another one
    repository.git("fetch", "-q", "--all")
    repository.git("cherry-pick", branch)
    repository.share()


def unrelated(repository, name="NOTES.md"):
    repository.write(name, "Something else.\n")
    repository.commit(f"Write {name}")
    repository.share()


MERGES = pytest.mark.parametrize("merge", [_by_the_tool, _merge, _squash, _rebase])


@MERGES
def test_a_reverted_bump_renders_what_ran_before(repository, merge):
    repository.released("staging", "one")
    before = repository.render("staging")
    merge(repository)
    assert repository.images["two"] in repository.render("staging")
    unrelated(repository, "LATER.md")
    outcome = repository.roll_back("staging", "--merge")
    assert outcome.code == 0, outcome.error
    assert repository.render("staging") == before
    assert repository.truth("diff", "--numstat", "main^1", "main") == f"1\t1\t{STAGING}"
    assert repository.git("status", "--porcelain") == ""


@MERGES
def test_it_is_what_git_revert_does(alone, merge):
    alone.released("staging", "one")
    merge(alone)
    unrelated(alone, "LATER.md")
    tip = alone.git("rev-parse", "main")
    assert alone.roll_back("staging", "--merge").code == 0
    ours = alone.git("rev-parse", "main^{tree}")
    bump = alone.git("log", "-1", "--format=%H", tip, "--", STAGING)
    alone.git("checkout", "-q", "--detach", tip)
    alone.git("revert", "--no-edit", bump)
    assert alone.git("rev-parse", "HEAD^{tree}") == ours


@MERGES
def test_the_command_that_the_message_prints_undoes_it_and_twice_does_no_harm(alone, merge):
    alone.released("staging", "one")
    before = alone.render("staging")
    tip = alone.git("rev-parse", "main")
    merge(alone)
    alone.git("checkout", "-q", "--detach", "main")
    promised = alone.git("log", "--all", "--format=%B", f"^{tip}", "--grep", "To undo", "-1")
    if not promised:  # the squash kept the title alone; the pull request's body still says it
        undo = f"git revert --no-edit $(git log --format=%H -S'{alone.images.image('two')}' {tip[:12]}.. -- {STAGING} | tail -n 1)"
    else:
        undo = next(line.strip() for line in promised.splitlines() if line.startswith("    git revert"))
    assert alone.images.image("two") in undo
    alone.git("checkout", "-q", "main")
    unrelated(alone, "LATER.md")
    first = subprocess.run(["bash", "-c", undo], cwd=alone.path, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert alone.render("staging") == before
    once = alone.git("rev-parse", "main")
    subprocess.run(["bash", "-c", undo], cwd=alone.path, capture_output=True, text=True, check=False)
    assert alone.git("rev-parse", "main") == once
    assert alone.git("status", "--porcelain") == ""
    assert "already" in alone.roll_back("staging", "--merge").output


def test_its_message_says_what_was_taken_back(repository):
    repository.released("staging", "one")
    repository.released("staging", "two")
    bump = repository.truth("rev-parse", "main^2")
    assert repository.roll_back("staging", "--merge", "--reason", "latency on\nFriday").code == 0
    message = repository.truth("log", "-1", "--format=%B", "main^2")
    assert message.splitlines()[0].startswith('Revert "Promote rainy-days 2-')
    assert f"This reverts commit {bump}." in message
    assert "Why: latency on Friday" in message
    assert f"Rolled-Back-From: {repository.images.image('two')}" in message
    assert f"Rolled-Back-To: {repository.images.image('one')}" in message


def test_a_rollback_is_not_rolled_back(repository):
    repository.released("staging", "one")
    repository.released("staging", "two")
    assert repository.roll_back("staging", "--merge").code == 0
    state = repository.state()
    outcome = repository.roll_back("staging", "--merge")
    assert outcome.code == 0
    assert f"is back at {repository.images['one']} already" in outcome.output
    assert repository.state() == state


def test_without_merge_it_waits_and_again_changes_nothing(repository):
    repository.released("staging", "one")
    repository.released("staging", "two")
    assert repository.roll_back("staging").code == 0
    state = repository.state()
    assert repository.line("staging") == repository.images["two"]
    assert repository.roll_back("staging").code == 0
    assert repository.state() == state
    assert repository.roll_back("staging", "--merge").code == 0
    assert repository.line("staging") == repository.images["one"]
    assert repository.branches() == {"main"}


def test_what_came_after_a_rollback_can_be_rolled_back_again(alone):
    alone.released("staging", "one")
    alone.released("staging", "two")
    assert alone.roll_back("staging", "--merge").code == 0
    alone.released("staging", "three")
    assert alone.roll_back("staging", "--merge").code == 0
    assert alone.line("staging") == alone.images["one"]


def test_the_first_release_goes_back_to_nothing(repository):
    before = repository.render("staging")
    repository.released("staging", "one")
    outcome = repository.roll_back("staging", "--merge")
    assert "Argo CD lets go of the environment and removes nothing" in outcome.output
    assert repository.render("staging") == before
    outcome = repository.roll_back("staging", "--merge")
    assert (outcome.code, outcome.output) == (0, "staging runs nothing; nothing to do\n")


def test_one_environment_goes_back_alone(alone):
    for name in ("one", "two"):
        alone.released("staging", name)
        alone.released("production", name)
    staging = alone.render("staging")
    assert alone.roll_back("production", "--merge").code == 0
    assert alone.line("production") == alone.images["one"]
    assert alone.render("staging") == staging


def test_a_later_edit_elsewhere_in_the_file_stays(alone):
    alone.released("staging", "one")
    alone.released("staging", "two")
    alone.write(STAGING, "# Ask the team first.\n" + (alone.path / STAGING).read_text())
    alone.commit("Comment")
    assert alone.roll_back("staging", "--merge").code == 0
    text = alone.git("show", f"main:{STAGING}")
    assert text.startswith("# Ask the team first.\n")
    assert alone.images["one"] in text
    assert "meets the same lines" not in alone.git("log", "-1", "--format=%B", "main^2")


def test_where_a_later_edit_conflicts_only_the_pin_goes_back(alone):
    alone.released("staging", "one")
    alone.released("staging", "two")
    text = (alone.path / STAGING).read_text()
    alone.write(STAGING, text.replace("\n    newTag: ", "\n    # measured on Monday\n    newTag:   "))
    alone.commit("Comment beside the line")
    bump = alone.git("log", "-1", "--format=%H", "HEAD~1", "--", STAGING)
    alone.git("checkout", "-q", "-b", "try")
    alone.git("revert", "--no-edit", bump, check=False)
    assert "UU" in alone.git("status", "--porcelain")  # git alone cannot
    alone.git("revert", "--abort")
    alone.git("checkout", "-q", "main")
    assert alone.roll_back("staging", "--merge").code == 0
    after = alone.git("show", f"main:{STAGING}")
    assert f"    # measured on Monday\n    newTag:   {alone.images['one']}" in after
    assert "meets the same lines" in alone.git("log", "-1", "--format=%B", "main^2")


def test_a_bump_in_a_larger_commit_takes_nothing_else_with_it(alone):
    alone.released("staging", "one")
    place = alone.path / STAGING
    place.write_bytes(pin.write(place.read_bytes(), pin.parse(alone.images["two"], ""), ""))
    alone.write("serving.txt", "a change that stays\n")
    alone.commit("Everything at once")
    assert alone.roll_back("staging", "--merge").code == 0
    assert alone.line("staging") == alone.images["one"]
    assert alone.git("show", "main:serving.txt") == "a change that stays"


def test_a_bump_that_came_in_by_a_merge_of_main_into_a_branch_is_found(alone):
    alone.released("staging", "one")
    before = alone.render("staging")
    alone.git("checkout", "-q", "-b", "feature")
    unrelated(alone, "FEATURE.md")
    alone.git("checkout", "-q", "main")
    alone.released("staging", "two")
    alone.git("checkout", "-q", "feature")
    alone.git("merge", "-q", "--no-edit", "main")  # main is the second parent
    alone.git("checkout", "-q", "main")
    alone.git("merge", "-q", "--ff-only", "feature")
    assert alone.roll_back("staging", "--merge").code == 0
    assert alone.render("staging") == before
    assert (alone.path / "FEATURE.md").exists()


def test_what_was_taken_back_is_not_forgotten_where_a_merge_hides_it(alone):
    alone.git("checkout", "-q", "-b", "feature")
    unrelated(alone, "FEATURE.md")
    alone.git("checkout", "-q", "main")
    alone.released("staging", "one")
    assert alone.roll_back("staging", "--merge").code == 0
    alone.git("checkout", "-q", "feature")
    alone.git(
        "merge", "-q", "--no-edit", "main"
    )  # the file is the same on both sides: `git log` follows only the first
    alone.git("checkout", "-q", "main")
    alone.git("merge", "-q", "--ff-only", "feature")
    assert alone.git("log", "--format=%s", "main", "--", STAGING) == "Start"
    assert "took this digest back" in alone.promote("staging", "one").error


def test_a_merge_that_was_resolved_by_hand_goes_back_to_what_history_said_last(alone):
    alone.released("staging", "one")
    alone.git("checkout", "-q", "-b", "hand")
    unrelated(alone, "HAND.md")
    alone.git("checkout", "-q", "main")
    alone.git("merge", "-q", "--no-ff", "--no-commit", "hand")
    place = alone.path / STAGING
    place.write_bytes(pin.write(place.read_bytes(), pin.parse(alone.images["two"], ""), ""))
    alone.commit("Merge, and more")
    assert alone.roll_back("staging", "--merge").code == 0
    assert alone.line("staging") == alone.images["one"]
    assert "took this digest back" in alone.promote("staging", "two").error


def test_what_history_does_not_know_is_refused(alone, tmp_path):
    place = alone.path / STAGING
    place.write_bytes(pin.write(place.read_bytes(), pin.parse(alone.images["one"], ""), ""))
    alone.git("add", "-A")
    alone.git("commit", "-q", "--amend", "-m", "Start with a digest")
    outcome = alone.roll_back("staging", "--merge")
    assert outcome.code == 2
    assert "history does not say what ran before" in outcome.error


def test_a_shallow_clone_does_not_answer(shared, tmp_path):
    shared.released("staging", "one")
    shared.released("staging", "two")
    shared.path = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{shared.origin}", str(shared.path)], check=True)
    for outcome in (shared.roll_back("staging"), shared.promote("staging", "three")):
        assert outcome.code == 2
        assert "this clone is shallow" in outcome.error


@pytest.fixture
def body(alone, bodies):
    """The body of the pull request that a rollback proposes."""

    def rolled_back(*words):
        outcome = alone.roll_back("staging", "--merge", *words)
        assert outcome.code == 0, outcome.error
        return bodies[-1]

    return rolled_back


def test_who_looks_at_it_sees_what_goes_where_and_why(alone, body):
    alone.released("staging", "one")
    alone.released("staging", "two")
    text = body("--reason", "p99 | `twice` @everybody")
    assert f"| Sent back | `{alone.images['two']}` |" in text
    assert f"| After this | `{alone.images['one']}` |" in text
    assert "| Why | `p99 \\| 'twice' @everybody` |" in text
    assert "Promote rainy-days" in text


def test_the_first_release_that_goes_back_leaves_nothing(alone, body):
    alone.released("staging", "one")
    text = body()
    assert "This was the first release" in text
    assert "| After this | nothing runs any more |" in text
