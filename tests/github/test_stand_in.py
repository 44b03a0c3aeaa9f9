"""The stand-in itself, asked by hand over HTTP."""

import http.client
import json
import subprocess
import time
from urllib.parse import urlsplit

import pytest

from tests.github.access import CLIENT, INSTALLATION
from tests.github.faults import AFTER, Fault

FILE = "a/b.yml"


class Client:
    def __init__(self, hub, token="token-of-tests"):
        self.hub, self.token, self.headers = hub, token, {}

    def __call__(self, method, path, body=None, token=None, within=10):
        connection = http.client.HTTPConnection(urlsplit(self.hub.url).netloc, timeout=within)
        headers = {"authorization": f"Bearer {token or self.token}"}
        place = path if path.startswith("//") else f"/repos/{self.hub.full_name}{path}"
        connection.request(method, place.replace("//", "/"), None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        self.headers = {key.lower(): value for key, value in answer.getheaders()}
        data = answer.read()
        connection.close()
        return answer.status, json.loads(data) if data else None


@pytest.fixture
def ask(github):
    return Client(github)


def propose(ask, branch="change", text="one\n", path=FILE, base=None):
    """A branch with one commit and its pull request; gives the number and the commit."""
    base = base or ask("GET", "/git/ref/heads/main")[1]["object"]["sha"]
    tree = ask("GET", f"/git/commits/{base}")[1]["tree"]["sha"]
    entry = {"path": path, "mode": "100644", "type": "blob", "content": text}
    tree = ask("POST", "/git/trees", {"base_tree": tree, "tree": [entry]})[1]["sha"]
    commit = ask("POST", "/git/commits", {"message": "Change\n\nWhy: because", "tree": tree, "parents": [base]})[1][
        "sha"
    ]
    assert ask("POST", "/git/refs", {"ref": f"refs/heads/{branch}", "sha": commit})[0] == 201
    code, made = ask("POST", "/pulls", {"title": "Change", "head": branch, "base": "main", "body": "B"})
    assert code == 201, made
    return made["number"], commit


def merge(ask, number, **more):
    return ask("PUT", f"/pulls/{number}/merge", more)


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_a_merge_is_a_real_one(github, ask, method):
    number, commit = propose(ask)
    code, said = merge(ask, number, merge_method=method, sha=commit)
    assert (code, said["merged"]) == (200, True)
    assert github.git.branch("main") == said["sha"]
    made = github.git.commit(said["sha"])
    assert len(made.parents) == (2 if method == "merge" else 1)
    assert said["sha"] != commit
    titles = {"merge": f"Merge pull request #{number} from {github.owner}/change", "squash": f"Change (#{number})"}
    assert made.title == titles.get(method, "Change")
    assert github.git.git("show", f"main:{FILE}") == "one"
    assert ask("GET", f"/pulls/{number}")[1]["state"] == "closed"
    assert merge(ask, number)[0] == 405


def test_what_conflicts_is_not_merged(github, ask):
    first, _ = propose(ask, "first", "one\n")
    second, _ = propose(ask, "second", "two\n")
    assert merge(ask, first)[0] == 200
    assert ask("GET", f"/pulls/{second}")[1]["mergeable"] is False
    code, said = merge(ask, second)
    assert (code, said["message"]) == (405, "Pull Request is not mergeable")
    assert github.git.git("show", f"main:{FILE}") == "one"


def test_a_head_that_moved_a_second_pull_request_and_an_empty_one_are_refused(github, ask):
    number, _ = propose(ask)
    assert merge(ask, number, sha="0" * 40)[0] == 409
    code, said = ask("POST", "/pulls", {"title": "Again", "head": "change", "base": "main"})
    assert (code, said["errors"][0]["message"]) == (422, f"A pull request already exists for {github.owner}:change.")
    ask("POST", "/git/refs", {"ref": "refs/heads/empty", "sha": github.git.branch("main")})
    code, said = ask("POST", "/pulls", {"title": "Empty", "head": "empty", "base": "main"})
    assert (code, said["errors"][0]["message"]) == (422, "No commits between main and empty")


def test_checks_and_reviews_hold_a_merge_back(github, ask):
    github.protect(checks=("gate",), reviews=1)
    github.tokens["of-another"] = type(github.tokens["token-of-tests"])("another")
    number, commit = propose(ask)
    assert merge(ask, number)[1]["message"] == 'Required status check "gate" is expected.'
    assert ask("POST", f"/statuses/{commit}", {"state": "success", "context": "gate"})[0] == 201
    assert "approving review" in merge(ask, number)[1]["message"]
    assert ask("POST", f"/pulls/{number}/reviews", {"event": "APPROVE"})[0] == 422
    assert ask("POST", f"/pulls/{number}/reviews", {"event": "APPROVE"}, token="of-another")[0] == 200
    assert merge(ask, number)[0] == 200
    code, said = ask("PATCH", "/git/refs/heads/main", {"sha": commit, "force": True})
    assert (code, said["message"]) == (422, "Cannot force-push to this branch")


def test_a_token_may_only_what_it_may(github, ask):
    github.tokens["weak"] = type(github.tokens["token-of-tests"])("weak", {"contents": "read"})
    assert ask("GET", "/git/ref/heads/main", token="weak")[0] == 200
    assert ask("POST", "/git/blobs", {"content": "x"}, token="weak") == (
        403,
        {
            "message": "Resource not accessible by integration",
            "documentation_url": "https://docs.github.com/rest",
            "status": "403",
        },
    )
    assert ask("GET", "/pulls", token="wrong")[0] == 401
    assert ask("GET", "//repos/somebody/else/pulls")[0] == 404


def test_an_app_gets_a_token_for_its_key_and_no_other(github, ask):
    import jwt

    from tests.github.access import private_key

    now = int(time.time())
    signed = jwt.encode({"iss": CLIENT, "iat": now, "exp": now + 60}, private_key(github), algorithm="RS256")
    place = f"//app/installations/{INSTALLATION}/access_tokens"
    code, said = ask("POST", place, {"permissions": {"contents": "read"}}, token=signed)
    assert code == 201
    assert ask("GET", "/git/ref/heads/main", token=said["token"])[0] == 200
    assert ask("POST", "/git/blobs", {"content": "x"}, token=said["token"])[0] == 403
    assert ask("POST", place, {}, token="a.b.c")[0] == 401


def test_a_list_comes_in_pages(github, ask):
    github.page_size = 2
    number, _ = propose(ask)
    for word in ("one", "two", "three"):
        assert ask("POST", f"/issues/{number}/comments", {"body": word})[0] == 201
    said = ask("GET", f"/issues/{number}/comments?per_page=2")[1]
    assert [each["body"] for each in said] == ["one", "two"]
    assert 'rel="next"' in ask.headers["link"]
    assert [each["body"] for each in ask("GET", f"/issues/{number}/comments?per_page=2&page=2")[1]] == ["three"]
    assert "link" not in ask.headers


def test_faults_come_before_the_work_or_after_it(github, ask):
    github.faults.add(Fault("POST .*/git/blobs", 500))
    assert ask("POST", "/git/blobs", {"content": "x"})[0] == 500
    assert ask("POST", "/git/blobs", {"content": "x"})[0] == 201
    number, _ = propose(ask)
    github.faults.add(Fault("PUT .*/merge", 502, moment=AFTER))
    assert merge(ask, number)[0] == 502
    assert github.pulls[number].merged
    github.faults.add(Fault("GET .*/pulls$", cut=True), Fault("GET .*/pulls$", partly=True))
    for _ in range(2):
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            ask("GET", "/pulls")
    github.faults.add(Fault("GET .*/pulls$", seconds=1))
    with pytest.raises(TimeoutError):
        ask("GET", "/pulls", within=0.2)
    github.faults.add(Fault.many("GET .*/pulls$", wait=7))
    assert ask("GET", "/pulls")[0] == 429
    assert ask.headers["retry-after"] == "7"


def test_what_github_does_not_describe_is_noticed(github, ask):
    assert ask("POST", "/pulls", {"title": 7, "head": "x"})[0] == 422
    assert ask("GET", "/pulls?satte=open")[0] == 422
    assert ask("GET", "/nowhere")[0] == 404
    said = "\n".join(github.violations)
    assert "satte" in said
    assert "base" in said
    assert "no such operation" in said
    github.violations.clear()


def test_git_itself_is_served_to_who_has_a_token(github, tmp_path):
    address = f"{github.url}/{github.full_name}.git"
    with_token = address.replace("//", "//x-access-token:token-of-tests@")
    plain = subprocess.run(
        ["git", "ls-remote", address],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env={"GIT_TERMINAL_PROMPT": "0", "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert plain.returncode != 0
    subprocess.run(["git", "clone", "-q", with_token, str(tmp_path / "clone")], check=True)
    (tmp_path / "clone/new.txt").write_text("new\n")
    for command in (["add", "-A"], ["commit", "-q", "-m", "New"], ["push", "-q", "origin", "main"]):
        subprocess.run(["git", *command], cwd=tmp_path / "clone", check=True, capture_output=True)
    assert github.git.git("show", "main:new.txt") == "new"
