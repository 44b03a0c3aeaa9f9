"""What GitHub and the way to it do wrong: asked again where that is safe, else one line; and the same command goes on."""

import base64
import shutil

import pytest

from contracts.errors import InputError
from release.forge import Proposal
from release.git import Git
from release.github import rest
from release.github.forge import GitHubForge
from tests.forge.test_way import promotion, released
from tests.github.faults import AFTER, BEFORE, Fault
from tests.github.hub import Token
from tests.release.workshop import STAGING

WRITES = ("POST .*/git/blobs", "POST .*/git/trees", "POST .*/git/commits", "POST .*/git/refs", "POST .*/pulls$")
WRITES += ("POST .*/labels", "PUT .*/merge", "DELETE .*/git/refs")
READS = ("GET .*/git/ref/heads/main", "GET .*/pulls$", "GET .*/git/ref/heads/promote")


@pytest.fixture
def waits(monkeypatch):
    """How long was waited; nobody does."""
    said = []
    first = rest.connect

    def connect(*arguments, **more):
        made = first(*arguments, **more)
        made._wait = said.append
        return made

    monkeypatch.setattr("release.forges.connect", connect)
    return said


def one_line(outcome):
    assert outcome.code == 2, outcome.output
    assert outcome.output == ""
    assert outcome.error.count("\n") == 1, outcome.error
    return outcome.error


@pytest.mark.parametrize("request_", [*READS, *WRITES])
def test_what_passes_is_asked_again_and_done_once(github, hosted, waits, request_):
    for fault in (
        Fault(request_, 502),
        Fault(request_, 500, moment=AFTER),
        Fault(request_, cut=True),
        Fault(request_, cut=True, moment=AFTER),
    ):
        github.faults.add(fault)
    released(github, hosted, "staging", "one")
    assert len(github.faults.met) == 4 or request_.endswith("promote")
    assert hosted.line("staging") == hosted.images["one"]
    assert hosted.branches() == {"main"}
    (pull,) = github.pulls.values()
    assert pull.merged
    assert set(pull.labels) == {"promotion", "staging"}
    assert waits == [0.5, 1.0, 2.0, 4.0][: len(waits)]


@pytest.mark.parametrize("moment", [BEFORE, AFTER])
@pytest.mark.parametrize("request_", WRITES)
def test_what_does_not_pass_ends_in_one_line_and_the_same_command_goes_on(github, hosted, waits, request_, moment):
    github.faults.add(Fault(request_, 503, moment=moment, times=99))
    arguments = promotion(hosted, "staging", "one", "--merge")
    said = one_line(hosted.run(*arguments))
    assert "503" in said or "422" in said
    assert "try again later" in said or "422" in said
    assert len(waits) <= 4 * 4
    github.faults.clear()
    outcome = hosted.run(*arguments)
    assert outcome.code == 0, outcome.error
    assert hosted.line("staging") == hosted.images["one"]
    assert hosted.branches() == {"main"}
    assert len(github.pulls) == 1


def test_a_limit_is_waited_for_as_long_as_it_says_and_no_longer(github, hosted, waits):
    github.faults.add(Fault.many("POST .*/git/refs", wait=7), Fault.many("PUT .*/merge", code=403, wait=3))
    spent = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}
    github.faults.add(Fault("GET .*/pulls$", 403, "API rate limit exceeded for installation", spent))
    released(github, hosted, "staging", "one")
    assert sorted(waits) == [0.0, 3.0, 7.0]
    github.faults.add(Fault.many("GET", wait=1800))
    assert "try again in 1800 s" in one_line(hosted.run(*promotion(hosted, "staging", "two", "--merge")))


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (None, ("401", "Bad credentials", "GITHUB_TOKEN")),
        (Token("reader", {"contents": "read", "pull_requests": "read"}), ("403", "not accessible", "docs/")),
        (Token("half", {"contents": "write", "pull_requests": "read"}), ("403", "POST", "pulls", "docs/")),
    ],
    ids=["unknown", "reads only", "no pull requests"],
)
def test_a_token_that_may_not_is_told_in_one_line(github, hosted, monkeypatch, waits, token, words):
    if token:
        github.tokens["weak"] = token
    monkeypatch.setenv("GITHUB_TOKEN", "weak")
    said = one_line(hosted.run(*promotion(hosted, "staging", "one", "--merge")))
    assert all(word in said for word in words), said
    assert "weak" not in said
    assert waits == []
    assert hosted.line("staging") == "none"
    monkeypatch.setenv("GITHUB_TOKEN", "token-of-tests")
    released(github, hosted, "staging", "one")
    assert hosted.branches() == {"main"}


def test_a_repository_that_is_not_there_is_told_in_one_line(github, hosted, monkeypatch, waits):
    monkeypatch.setenv("GITHUB_REPOSITORY", "somebody/else")
    assert "somebody/else" in one_line(hosted.run(*promotion(hosted, "staging", "one", "--merge")))
    monkeypatch.setenv("GITHUB_REPOSITORY", "no-slash")
    assert "GITHUB_REPOSITORY" in one_line(
        hosted.run(*promotion(hosted, "staging", "one", "--merge", "--forge", "github"))
    )


def test_an_answer_that_stops_in_its_middle_and_one_that_does_not_come(github, hosted, waits, monkeypatch):
    monkeypatch.setattr(rest, "SECONDS", 1)
    github.faults.add(Fault("GET .*/git/ref/heads/main", partly=True), Fault("POST .*/git/blobs", seconds=2.0))
    released(github, hosted, "staging", "one")
    assert len(waits) >= 2


def test_nobody_there_at_all(github, hosted, monkeypatch, waits):
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")
    said = one_line(hosted.run(*promotion(hosted, "staging", "one", "--merge")))
    assert "no answer" in said
    assert len(waits) == 4


def test_a_token_does_not_go_over_plain_http_to_elsewhere(github, hosted, monkeypatch):
    monkeypatch.setenv("GITHUB_API_URL", "http://api.example.com")
    assert "https only" in one_line(hosted.run(*promotion(hosted, "staging", "one")))


def test_git_gets_the_token_for_github_alone_and_nobody_reads_it(github, hosted, tmp_path, monkeypatch):
    seen = tmp_path / "seen"
    shim = tmp_path / "bin"
    shim.mkdir()
    (shim / "git").write_text(f'#!/bin/sh\necho "$@" >> {seen}\nexec {shutil.which("git")} "$@"\n')
    (shim / "git").chmod(0o755)
    other = github.git.tree("main", [("100644", "NOTES.md", github.git.blob(b"x"))])
    person = github.git.commit("main").author
    github.git.point("refs/heads/main", github.git.write(other, [github.git.branch("main")], "Other", person))
    process = hosted.process(
        *promotion(hosted, "staging", "one", "--merge"), PATH=f"{shim}:/usr/bin:/bin:/usr/local/bin"
    )
    output, error = process.communicate(timeout=60)
    assert process.returncode == 0, output + error
    assert "fetch" in seen.read_text()
    assert "token" not in seen.read_text()
    assert "extraheader" not in hosted.git("config", "--list")


def test_what_a_checkout_left_in_git_s_settings_is_not_sent_beside_it(github, hosted):
    stale = base64.b64encode(b"x-access-token:stale").decode()
    hosted.git("config", f"http.{github.url}/.extraheader", f"AUTHORIZATION: basic {stale}")
    tip = github.git.branch("main")
    tree = github.git.tree(tip, [("100644", "NOTES.md", github.git.blob(b"x"))])
    made = github.git.write(tree, [tip], "Other", github.git.commit(tip).author)
    github.git.point("refs/heads/main", made)
    released(github, hosted, "staging", "one")


def test_who_is_faster_at_any_point(github, hosted, waits):
    """Somebody merges another change of the same file just before ours: proposed again on top of it, once."""
    released(github, hosted, "staging", "one")

    def faster():
        text = github.git.content(github.git.find("main:gitops/envs/staging/release/kustomization.yaml", "blob"))
        blob = github.git.blob(text.replace(hosted.images["one"].encode(), hosted.images["three"].encode()))
        tip = github.git.branch("main")
        tree = github.git.tree(tip, [("100644", "gitops/envs/staging/release/kustomization.yaml", blob)])
        github.git.point("refs/heads/main", github.git.write(tree, [tip], "By hand", github.git.commit(tip).author))

    github.faults.add(Fault("PUT .*/merge", does=faster))
    outcome = hosted.run(*promotion(hosted, "staging", "two", "--merge"))
    assert outcome.code == 0, outcome.error
    assert f"{hosted.images['three']} -> {hosted.images['two']}" in outcome.output
    assert len(github.pulls) == 2
    assert hosted.branches() == {"main"}


def test_a_head_that_somebody_pushed_to_is_not_merged(github, hosted, waits):
    def pushed():
        (pull,) = github.open_pulls()
        tip = github.git.branch(pull.head)
        tree = github.git.tree(tip, [("100644", "evil.py", github.git.blob(b"x"))])
        github.git.point(
            f"refs/heads/{pull.head}", github.git.write(tree, [tip], "More", github.git.commit(tip).author)
        )

    github.faults.add(Fault("PUT .*/merge", does=pushed))
    released(github, hosted, "staging", "one")
    assert "evil.py" not in hosted.truth("ls-tree", "-r", "--name-only", "main")
    assert hosted.line("staging") == hosted.images["one"]


def test_what_github_has_not_found_out_yet_is_asked_again(github, hosted, waits):
    github.faults.add(Fault("PUT .*/merge", 405, "Base branch was modified. Review and try the merge again."))
    github.undecided = 2
    released(github, hosted, "staging", "one")
    assert hosted.line("staging") == hosted.images["one"]


def test_one_comment_is_kept_in_its_place_whatever_the_page(github, hosted):
    github.page_size = 3
    assert hosted.run(*promotion(hosted, "staging", "one")).code == 0
    forge = GitHubForge(Git(hosted.path), rest.connect())
    marker = "<!-- slipway:summary -->"
    (pull,) = github.open_pulls()
    for i in range(7):
        forge.comment(pull.number, f"<!-- other-{i} -->", "Hello")
    for text in ("First", "Second", "Second"):
        forge.comment(pull.number, marker, text)
    said = [each["body"] for _, each in github.comments.values() if each["body"].startswith(marker)]
    assert said == [f"{marker}\nSecond"]
    assert sum(each.method == "PATCH" for each in github.asked) == 1


def test_a_comment_of_somebody_who_may_only_talk_here_is_not_taken_for_ours(github, hosted):
    assert hosted.run(*promotion(hosted, "staging", "one")).code == 0
    forge = GitHubForge(Git(hosted.path), rest.connect())
    marker = "<!-- slipway:summary -->"
    forge.comment(1, marker, "All green, trust me")
    ((_, theirs),) = github.comments.values()
    theirs["author_association"] = "NONE"
    forge.comment(1, marker, "Red")
    assert [each["body"] for _, each in github.comments.values()] == [
        f"{marker}\nAll green, trust me",
        f"{marker}\nRed",
    ]


def test_health_and_approvals(github, hosted, monkeypatch):
    forge = GitHubForge(Git(hosted.path), rest.connect())
    github.tokens["of-another"] = Token("another")
    assert hosted.run(*promotion(hosted, "staging", "one")).code == 0
    monkeypatch.setenv("GITHUB_TOKEN", "of-another")
    rest.connect().write("POST", "pulls/1/reviews", {"event": "APPROVE"})
    monkeypatch.setenv("GITHUB_TOKEN", "token-of-tests")
    released(github, hosted, "staging", "one")
    tip = forge.tip()
    assert forge.approvals(tip) == ("another",)
    assert forge.approvals(hosted.truth("rev-parse", "main~1")) == ()
    assert forge.health(tip, "argocd/x") == ""
    github.succeed(tip, "argocd/x", "pending")
    github.succeed(tip, "argocd/x")
    assert forge.health(tip, "argocd/x") == "success"


def test_a_body_that_is_too_long_keeps_its_beginning_and_its_end(github, hosted):
    forge = GitHubForge(Git(hosted.path), rest.connect())
    body = "Begin" + "x" * 90_000 + "git revert"
    words = {"branch": "promote/x", "base": forge.tip(), "path": STAGING, "content": b"#\n", "message": "Title"}
    forge.open(Proposal(**words, body=body))
    (pull,) = github.open_pulls()
    assert pull.body.startswith("Begin")
    assert pull.body.endswith("git revert")


def test_an_archived_repository_is_refused_before_anything_is_written(github, hosted, waits):
    github.options["archived"] = True
    assert "archived" in one_line(hosted.run(*promotion(hosted, "staging", "one", "--merge")))
    assert github.writes() == []


def test_what_is_refused_says_so_as_an_input_error():
    assert issubclass(rest.RefusedError, InputError)


def test_a_squashed_branch_that_was_left_is_known_by_its_pull_request(github, hosted, waits):
    """Its commit is not in the target, and the file says something else by now."""
    github.options |= {"allow_merge_commit": False, "allow_rebase_merge": False}
    github.faults.add(Fault("DELETE .*/git/refs", 503, times=99))
    one_line(hosted.run(*promotion(hosted, "staging", "one", "--merge")))
    github.faults.clear()
    released(github, hosted, "staging", "two")
    (left,) = hosted.branches() - {"main"}
    GitHubForge(Git(hosted.path), rest.connect()).close(left)
    assert hosted.branches() == {"main"}


def test_a_branch_that_somebody_made_anew_after_the_merge_is_not_taken_away(github, hosted, waits):
    def anew():
        (pull,) = github.pulls.values()
        tip = github.git.branch("main")
        tree = github.git.tree(tip, [("100644", "NEW.md", github.git.blob(b"x"))])
        made = github.git.write(tree, [tip], "Somebody's", github.git.commit(tip).author)
        github.git.point(f"refs/heads/{pull.head}", made)

    github.faults.add(Fault("PUT .*/merge", moment=AFTER, does=anew))
    released(github, hosted, "staging", "one")
    assert len(hosted.branches()) == 2


def test_a_merge_whose_answer_was_lost_is_told_as_a_merge(github, hosted, waits):
    github.faults.add(Fault("PUT .*/merge", 502, moment=AFTER))
    outcome = hosted.run(*promotion(hosted, "staging", "one", "--merge"))
    assert f"merged into main on origin as {github.pulls[1].merged[:12]}" in outcome.output
