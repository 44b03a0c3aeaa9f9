"""Every answer is as GitHub describes it: each operation of the cut is asked once, and the fixture looks at the rest."""

import base64

from tests.github.description import description
from tests.github.hub import HANDLERS
from tests.github.test_stand_in import Client, propose


def test_every_operation_of_the_cut_has_an_answer():
    assert [each.name for each in description().operations if each.name not in HANDLERS] == []


def test_git_s_own_things(github):
    ask = Client(github)
    number, commit = propose(ask)
    blob = ask("POST", "/git/blobs", {"content": base64.b64encode(b"\xff\x00").decode(), "encoding": "base64"})[1][
        "sha"
    ]
    assert base64.b64decode(ask("GET", f"/git/blobs/{blob}")[1]["content"]) == b"\xff\x00"
    tree = ask("GET", f"/git/commits/{commit}")[1]["tree"]["sha"]
    assert [each["path"] for each in ask("GET", f"/git/trees/{tree}?recursive=1")[1]["tree"]] == [
        "README.md",
        "a",
        "a/b.yml",
    ]
    assert [each["name"] for each in ask("GET", "/branches")[1]] == ["change", "main"]
    assert ask("GET", "/branches/change")[1]["commit"]["sha"] == commit
    assert [each["ref"] for each in ask("GET", "/git/matching-refs/heads/ch")[1]] == ["refs/heads/change"]
    assert ask("GET", f"/commits/{commit}")[1]["files"][0]["filename"] == "a/b.yml"
    assert [each["sha"] for each in ask("GET", "/commits?sha=change&path=a/b.yml")[1]] == [commit]
    assert ask("GET", "/compare/main...change")[1]["ahead_by"] == 1
    assert [each["sha"] for each in ask("GET", f"/pulls/{number}/commits")[1]] == [commit]
    assert [each["status"] for each in ask("GET", f"/pulls/{number}/files")[1]] == ["added"]
    assert ask("GET", f"/pulls/{number}/merge")[0] == 404
    assert ask("PATCH", f"/pulls/{number}", {"state": "closed"})[1]["state"] == "closed"
    assert ask("PATCH", f"/pulls/{number}", {"state": "open", "title": "Again"})[1]["title"] == "Again"
    assert ask("DELETE", "/git/refs/heads/change")[0] == 204
    assert ask("GET", f"/pulls/{number}")[1]["state"] == "closed"
    assert ask("DELETE", "/git/refs/heads/change")[0] == 422


def test_files(github):
    ask = Client(github)
    text = {"message": "Write", "content": base64.b64encode(b"one\n").decode(), "branch": "main"}
    code, made = ask("PUT", "/contents/a/b.txt", text)
    assert code == 201
    assert ask("GET", "/contents/a/b.txt?ref=main")[1]["sha"] == made["content"]["sha"]
    assert [each["type"] for each in ask("GET", "/contents/a")[1]] == ["file"]
    assert ask("PUT", "/contents/a/b.txt", text)[0] == 422
    assert ask("PUT", "/contents/a/b.txt", text | {"sha": "0" * 40})[0] == 409
    assert ask("PUT", "/contents/a/b.txt", text | {"sha": made["content"]["sha"], "content": ""})[0] == 200
    sha = ask("GET", "/contents/a/b.txt")[1]["sha"]
    assert ask("DELETE", "/contents/a/b.txt", {"message": "Go", "sha": sha, "branch": "main"})[0] == 200
    assert ask("GET", "/contents/a/b.txt")[0] == 404


def test_what_is_said_about_a_commit(github):
    ask = Client(github)
    sha = github.git.branch("main")
    for state in ("pending", "success"):
        assert ask("POST", f"/statuses/{sha}", {"state": state, "context": "argocd/x"})[0] == 201
    assert ask("GET", f"/commits/{sha}/status")[1]["state"] == "success"
    assert [each["state"] for each in ask("GET", f"/commits/{sha}/statuses")[1]] == ["success", "pending"]
    note = {"path": "README.md", "start_line": 1, "end_line": 1, "annotation_level": "warning", "message": "M"}
    output = {"title": "T", "summary": "S", "annotations": [note]}
    body = {"name": "unit", "head_sha": sha, "status": "in_progress", "output": output}
    code, check = ask("POST", "/check-runs", body)
    assert (code, check["conclusion"]) == (201, None)
    assert (
        ask("PATCH", f"/check-runs/{check['id']}", {"conclusion": "failure", "output": output})[1]["status"]
        == "completed"
    )
    assert ask("GET", f"/check-runs/{check['id']}")[1]["conclusion"] == "failure"
    assert len(ask("GET", f"/check-runs/{check['id']}/annotations")[1]) == 2
    assert ask("GET", f"/commits/{sha}/check-runs")[1]["total_count"] == 1
    code, deployment = ask("POST", "/deployments", {"ref": "main", "environment": "staging", "auto_merge": False})
    assert code == 201
    assert ask("POST", f"/deployments/{deployment['id']}/statuses", {"state": "success"})[0] == 201
    assert len(ask("GET", f"/deployments/{deployment['id']}/statuses")[1]) == 1
    assert len(ask("GET", "/deployments?environment=staging")[1]) == 1
    assert ask("GET", "/attestations/sha256:00")[1] == {"attestations": []}


def test_dispatches(github):
    ask = Client(github)
    body = {"event_type": "rollout-aborted", "client_payload": {"image": "x"}}
    assert ask("POST", "/dispatches", body)[0] == 204
    assert github.dispatches == [body]
    assert ask("POST", "/actions/workflows/nowhere.yml/dispatches", {"ref": "main"})[0] == 404


def test_words_and_labels_of_a_pull_request(github):
    ask = Client(github)
    number, _ = propose(ask)
    code, said = ask("POST", f"/issues/{number}/comments", {"body": "One"})
    assert code == 201
    place = f"/issues/comments/{said['id']}"
    assert ask("PATCH", place, {"body": "Two"})[1]["body"] == ask("GET", place)[1]["body"] == "Two"
    assert ask("DELETE", place)[0] == 204
    assert ask("GET", place)[0] == 404
    assert ask("POST", "/labels", {"name": "promotion", "color": "0e8a16", "description": "D"})[0] == 201
    assert ask("POST", "/labels", {"name": "Promotion"})[0] == 422
    for method, labels in (("POST", ["promotion", "new"]), ("PUT", ["staging", "promotion"])):
        assert {each["name"] for each in ask(method, f"/issues/{number}/labels", {"labels": labels})[1]} == set(labels)
    assert ask("DELETE", f"/issues/{number}/labels/staging")[0] == 200
    assert ask("PATCH", "/labels/promotion", {"new_name": "release"})[1]["name"] == "release"
    assert [each["name"] for each in ask("GET", f"/issues/{number}")[1]["labels"]] == ["release"]
    assert ask("GET", "/labels/release")[1]["description"] == "D"
    assert {each["name"] for each in ask("GET", "/labels")[1]} == {"release", "new", "staging"}
    assert ask("DELETE", "/labels/release")[0] == 204
    assert ask("GET", f"/issues/{number}/labels")[1] == []
    assert ask("DELETE", f"/issues/{number}/labels")[0] == 204


def test_protection(github):
    ask = Client(github)
    assert ask("GET", "/branches/main/protection")[0] == 404
    checks = {"strict": False, "contexts": ["gate"]}
    reviews = {"required_approving_review_count": 1}
    rest = {"enforce_admins": True, "restrictions": None, "required_pull_request_reviews": reviews}
    assert ask("PUT", "/branches/main/protection", rest | {"required_status_checks": checks})[0] == 200
    assert ask("GET", "/branches/main/protection")[1]["required_status_checks"]["contexts"] == ["gate"]
    assert ask("GET", "/branches/main")[1]["protected"] is True
    assert ask("DELETE", "/branches/main/protection")[0] == 204


def test_who_asks(github):
    ask = Client(github)
    assert ask("GET", "//user")[1]["login"] == "tester"
    assert ask("GET", "//rate_limit")[0] == 200
    assert ask("GET", "")[1]["full_name"] == github.full_name
