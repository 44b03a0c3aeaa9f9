"""What a forge promises, whichever it is (release/forge.py). A new one is one file, and a line in conftest.py."""

import pytest

from contracts.errors import InputError
from release.forge import MovedError, deliver
from tests.release.workshop import STAGING

OTHER = "NOTES.md"


def test_the_tip_is_the_target_branch(place):
    assert place.forge.target == "main"
    assert place.forge.tip() == place.repository.truth("rev-parse", "main")
    sha = place.commit(OTHER, b"Hello.\n")
    assert place.forge.tip() == sha


def test_the_tip_s_history_is_here_to_be_read(place):
    sha = place.commit(OTHER, b"Hello.\n")
    if place.repository.origin:
        place.repository.git("reset", "-q", "--hard", "HEAD~1")
    tip = place.forge.tip()
    assert place.repository.git("cat-file", "-t", f"{tip}^{{tree}}") == "tree"
    assert tip == sha


def test_a_proposal_is_a_branch_with_one_commit_and_one_file(place):
    proposal = place.proposal()
    made = place.forge.open(proposal)
    truth = place.repository.truth
    assert truth("rev-parse", "promote/x") == made.commit
    assert truth("rev-parse", "promote/x^") == proposal.base == made.base
    assert truth("diff", "--name-only", "main", "promote/x") == STAGING
    assert truth("log", "-1", "--format=%B", "promote/x") == proposal.message
    assert truth("rev-parse", "main") == proposal.base
    assert place.content(name="promote/x") == b"# changed\n"


def test_the_same_proposal_again_is_the_same_pull_request(place):
    made = place.forge.open(place.proposal())
    refs = place.repository.truth("for-each-ref")
    written = len(place.hub.writes()) if place.hub else 0
    assert place.forge.open(place.proposal()) == made
    assert place.repository.truth("for-each-ref") == refs
    assert (len(place.hub.writes()) if place.hub else 0) == written
    assert place.pull_requests() <= 1


def test_on_top_of_a_newer_target_it_is_made_anew_in_its_place(place):
    place.forge.open(place.proposal())
    base = place.commit(OTHER, b"Hello.\n")
    made = place.forge.open(place.proposal(text=b"# again\n"))
    assert place.repository.truth("rev-parse", "promote/x^") == base
    assert place.repository.truth("rev-list", "--count", "main..promote/x") == "1"
    assert place.repository.truth("rev-parse", "promote/x") == made.commit
    assert place.pull_requests() <= 1


def test_a_merge_brings_it_in_and_takes_the_branch_away(place):
    made = place.forge.open(place.proposal())
    merged = place.forge.merge(made)
    assert place.repository.truth("rev-parse", "main") == merged.commit
    assert place.content() == b"# changed\n"
    assert place.repository.branches() == {"main"}
    assert "Key: value" in place.repository.truth("log", "--format=%B", f"{made.base}..main")
    assert place.repository.git("status", "--porcelain") == ""


def test_a_merge_again_changes_nothing(place):
    made = place.forge.open(place.proposal())
    first = place.forge.merge(made)
    refs = place.repository.truth("for-each-ref")
    assert place.forge.merge(made).commit == first.commit
    assert place.repository.truth("for-each-ref") == refs


def test_what_others_changed_elsewhere_stays(place):
    made = place.forge.open(place.proposal())
    place.commit(OTHER, b"Hello.\n")
    place.forge.merge(made)
    assert place.content() == b"# changed\n"
    assert place.content(OTHER) == b"Hello.\n"


def test_where_the_file_itself_changed_it_has_to_be_proposed_again(place):
    made = place.forge.open(place.proposal())
    sha = place.commit(STAGING, b"# somebody's\n")
    with pytest.raises(MovedError):
        place.forge.merge(made)
    assert place.repository.truth("rev-parse", "main") == sha


def test_a_change_elsewhere_in_the_file_counts_although_git_could_merge_it(place):
    text = place.content()
    made = place.forge.open(place.proposal(text=text + b"# at the end\n"))
    sha = place.commit(STAGING, b"# at the top\n" + text)
    with pytest.raises(MovedError):
        place.forge.merge(made)
    assert place.repository.truth("rev-parse", "main") == sha


def test_a_branch_of_that_name_that_says_something_else_is_replaced(place):
    place.forge.open(place.proposal(text=b"# an older idea\n"))
    made = place.forge.open(place.proposal())
    assert place.content(name="promote/x") == b"# changed\n"
    assert place.repository.truth("rev-parse", "promote/x") == made.commit


def test_bytes_and_mode_stay_as_they_are(place):
    name = "scripts/a b ü.sh"
    place.commit(name, b"#!/bin/sh\n")
    (place.repository.path / name).chmod(0o755)
    place.repository.commit("Executable")
    place.repository.share()
    place.forge.merge(place.forge.open(place.proposal(b"\xff\x00\r\nend", name)))
    assert place.content(name) == b"\xff\x00\r\nend"
    assert place.repository.truth("-c", "core.quotePath=false", "ls-tree", "main", "--", name).startswith("100755")


def test_a_file_that_the_target_does_not_have_is_refused_and_nothing_is_written(place):
    refs = place.repository.truth("for-each-ref")
    with pytest.raises(InputError, match=r"nowhere\.yaml: is not in main"):
        place.forge.open(place.proposal(path="nowhere.yaml"))
    assert place.repository.truth("for-each-ref") == refs


def test_what_an_interrupted_run_left_is_taken_away_once_it_is_in(place):
    made = place.forge.open(place.proposal())
    repository = place.repository
    truth = repository.origin or repository.path
    repository.truth("branch", "kept", made.commit)
    place.forge.merge(made)
    repository.truth("branch", "promote/x", made.commit)
    place.forge.close("promote/x")
    assert repository.branches() == {"main", "kept"}
    assert truth


def test_what_somebody_else_brought_in_meanwhile_is_taken_away(place):
    place.forge.open(place.proposal())
    place.commit(STAGING, b"# changed\n", "The same, by hand")
    place.forge.close("promote/x")
    assert place.repository.branches() == {"main"}
    assert place.hub is None or place.hub.open_pulls() == []


def test_what_is_not_in_yet_is_not_taken_away(place):
    place.forge.open(place.proposal())
    place.forge.close("promote/x")
    place.forge.close("promote/never-there")
    assert place.repository.branches() == {"main", "promote/x"}


def test_a_target_that_is_not_there_is_told_in_one_line(place):
    import msgspec

    with pytest.raises(InputError, match="--target") as error:
        msgspec.structs.replace(place.forge, target="nowhere").tip()
    assert "\n" not in str(error.value)


def test_a_delivery_is_proposed_again_when_the_target_moved(place):
    seen = []

    def propose(tip):
        seen.append(tip)
        proposal = place.proposal(base=tip)
        if len(seen) == 1:
            place.commit(STAGING, b"# somebody's\n")
        return proposal

    delivery = deliver(place.forge, "promote/x", propose, merge=True)
    assert delivery.merged
    assert len(seen) == 2
    assert place.content() == b"# changed\n"
    assert place.repository.branches() == {"main"}


def test_a_delivery_of_nothing_writes_nothing(place):
    refs = place.repository.truth("for-each-ref")
    delivery = deliver(place.forge, "promote/x", lambda tip: None, merge=True)
    assert delivery.pull_request is delivery.merged is None
    assert place.repository.truth("for-each-ref") == refs
