"""The GitHub part of `release doctor`: each lack in one line, with its way out."""

import subprocess

import pytest

from release.github.doctor import checks
from release.github.rest import RefusedError
from tests.github.access import SLUG
from tests.github.hub import Token
from tests.github.settings import APP_MAY, ERRORS, INSTALLATIONS, RUNS, SECRETS, more
from tests.setup.conftest import asks

PIN = "7-0123456789ab@sha256:" + "0" * 64
KEY = "RELEASE_APP_PRIVATE_KEY"


@pytest.fixture
def commit(hub, tmp_path):
    """One on main, as everything that GitHub looks at hangs on one."""
    tree = hub.git.git("mktree", data=b"")
    identity = {f"GIT_{who}_{what}": "tests" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    sha = hub.git.git("commit-tree", tree, "-m", "First", **identity)
    hub.git.point("refs/heads/main", sha)
    return sha


@pytest.fixture
def healthy(done, hub, commit):
    """Everything as docs/github-setup.md leaves it, with a version in staging."""
    for name in ("staging", "production", "automation"):
        more(hub, SECRETS)[name] = [KEY]
    line = f"images:\n  - name: model-server\n    newName: ghcr.io/a/b\n    newTag: {PIN}\n"
    for name, text in (("staging", line), ("production", line.replace(PIN, "none"))):
        folder = done.root / f"gitops/envs/{name}"
        (folder / "release").mkdir(parents=True)
        kind = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
        (folder / "release/kustomization.yaml").write_text(kind + text)
        (folder / "kustomization.yaml").write_text(f"namespace: m-{name}\n")
    hub.succeed(commit, "argocd/m-staging")
    more(hub, RUNS).append("repository_dispatch")
    pull_request(done.rest, hub, commit)
    return done


def pull_request(rest, hub, commit, check="gate"):
    tree = hub.git.tree(None, [("100644", "a", hub.git.blob(b"a"))])
    identity = {f"GIT_{who}_{what}": "tests" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    sha = hub.git.git("commit-tree", tree, "-p", commit, "-m", "Second", **identity)
    hub.git.point("refs/heads/try", sha)
    rest.write("POST", "pulls", {"title": "Try", "head": "try", "base": "main"})
    hub.tokens["actions"] = Token("github-actions[bot]", {"*": "write"}, 15368)
    said = {"name": check, "head_sha": sha, "status": "completed", "conclusion": "success"}
    asks(hub, "actions").write("POST", "check-runs", said)
    for each in hub.checks.values():
        each["app"] = each["app"] | {"slug": "github-actions"}
    return sha


def found(setup, status=None):
    listed = checks(setup.root, setup.rest)
    assert all("\n" not in each.detail for each in listed)
    return {each.name: each for each in listed if status is None or each.status == status}


def test_a_repository_that_lacks_nothing_is_told_so(healthy):
    wrong = {name: each.detail for name, each in found(healthy).items() if each.status != "pass"}
    assert wrong == {}
    assert found(healthy)["App"].detail == f"{SLUG} is installed and has the rights"


def test_nothing_is_written(healthy, hub):
    before = len(hub.writes())
    found(healthy)
    assert len(hub.writes()) == before


def test_a_new_repository_is_told_everything_at_once(setup, hub, commit):
    for name in ("staging", "production"):
        (setup.root / f"gitops/envs/{name}").mkdir(parents=True)
        (setup.root / f"gitops/envs/{name}/kustomization.yaml").write_text(f"namespace: m-{name}\n")
    failed = found(setup, "fail")
    assert {f"{name}: {KEY}" for name in ("staging", "production", "automation")} <= set(failed)
    assert failed[f"staging: {KEY}"].detail.startswith(f"not there: gh secret set {KEY} --env staging < app.pem")
    assert "`make github-setup` shows it, APPLY=1 mends it" in failed["ruleset main"].detail
    assert all(each.blocking for each in failed.values())
    assert "promotion, rollback, staging" in found(setup, "warn")["labels"].detail


LACKS = {
    "a right of the App": (
        lambda hub: more(hub, INSTALLATIONS).update({SLUG: {**APP_MAY, "contents": "read"}}),
        "App", "fail", "release-app lacks contents: write; add it on the App's page, then accept it at the installation",
    ),
    "a right that the App never asked for": (
        lambda hub: more(hub, INSTALLATIONS)[SLUG].pop("workflows"),
        "App", "fail", "release-app lacks workflows: write",
    ),
    "the key, in one environment": (
        lambda hub: more(hub, SECRETS).update(production=[]),
        f"production: {KEY}", "fail", "not there: gh secret set",
    ),
    "the key is everybody's": (
        lambda hub: more(hub, SECRETS).update({"": [KEY]}),
        "secrets", "fail", f"every branch's workflow can read it; gh secret delete {KEY}",
    ),
    "the variable": (
        lambda hub: more(hub, "variables").clear(),
        "variable RELEASE_APP_CLIENT_ID", "fail", "make github-setup",
    ),
    "a rule": (
        lambda hub: next(iter(hub.rulesets.values())).update(enforcement="disabled"),
        "ruleset main", "fail", "~ enforcement: disabled -> active",
    ),
    "a second one who passes by": (
        lambda hub: next(iter(hub.rulesets.values()))["bypass_actors"].append({"actor_id": 5, "actor_type": "RepositoryRole", "bypass_mode": "always"}),
        "bypass", "warn", "ruleset main: passes by.RepositoryRole 5: always, which no file names; PRUNE=1",
    ),
    "a merge queue": (
        lambda hub: hub.rulesets.update({9: {"name": "queue", "enforcement": "active", "conditions": {}, "bypass_actors": [], "rules": [{"type": "required_signatures"}]}}),
        "rules", "warn", "required_signatures of slipway-tests/model holds for main: the commit of a promotion",
    ),
    "the check's name": (
        lambda hub: [each.update(name="gates") for each in hub.checks.values()],
        "required check gate", "warn", "none of the last pull requests has a check 'gate' by GitHub Actions",
    ),
    "a reviewer in the way": (
        lambda hub: hub.environments["automation"].update(wait_timer=10),
        "environment automation", "warn", "wait_timer: jobs wait there, an automatic rollback among them",
    ),
    "an owner": (
        lambda hub: more(hub, ERRORS).append({"line": 2, "kind": "Unknown owner", "path": ".github/CODEOWNERS", "suggestion": "make sure the team exists"}),
        "owners", "fail", ".github/CODEOWNERS: line 2: Unknown owner: make sure the team exists; a team needs write access",
    ),
    "Argo CD": (
        lambda hub: hub.statuses.clear(),
        "Argo CD on staging", "warn", "no commit status argocd/…-staging on the last 10 commits of main",
    ),
    "Argo Rollouts": (
        lambda hub: more(hub, RUNS).clear(),
        "Argo Rollouts", "warn", "no rollout-aborted ever came",
    ),
    "the branch's name": (
        lambda hub: hub.options.update(default_branch="master"),
        "default branch", "fail", "is master; workflows, environments and Argo CD say main",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("lack", "name", "status", "said"), LACKS.values(), ids=LACKS)
def test_a_lack_is_one_line_with_its_way_out(healthy, hub, lack, name, status, said):
    lack(hub)
    check = found(healthy)[name]
    assert check.status == status, check
    assert said in check.detail
    assert check.blocking == (status == "fail")


def test_an_app_that_is_not_there_is_step_one(healthy, hub):
    more(hub, "apps").pop(SLUG)
    more(hub, INSTALLATIONS).pop(SLUG)
    assert "make it (docs/github-setup.md, step 1)" in found(healthy, "fail")["App"].detail
    assert found(healthy, "not_run")["ruleset main-review"].detail == "waits for the App"


def test_without_an_organisation_installed_is_not_claimed(healthy, hub):
    hub.more[INSTALLATIONS] = None
    assert found(healthy)["App"].status in ("warn", "fail")


def test_what_a_token_is_not_shown_is_not_judged(healthy, hub):
    hub.tokens["reader"] = Token(
        "reader", {"metadata": "read", "contents": "read", "pull_requests": "read", "checks": "read"}
    )
    healthy.rest = asks(hub, "reader")
    said = found(healthy, "not_run")
    assert (
        "not shown to this token: GitHub: GET /repos/slipway-tests/model/actions/secrets: 403" in said["secrets"].detail
    )
    assert not any(each.blocking for each in said.values())


def test_a_wrong_token_ends_it_in_one_line(healthy, hub):
    healthy.rest = asks(hub, "nobody's")
    with pytest.raises(RefusedError, match="401 Bad credentials; the token is wrong or has ended"):
        checks(healthy.root, healthy.rest)


# --- what the rules then do, as far as the stand-in knows


def test_the_app_merges_without_a_review_and_not_without_the_gate(done, hub, commit):
    """FORGE's stand-in holds a merge against the rulesets that were put there; GitHub itself: not tried."""
    pull_request(done.rest, hub, commit, check="another")
    (pull,) = hub.open_pulls()
    hub.tokens["app"] = Token(f"{SLUG}[bot]", {"*": "write"}, 4242)
    app, person = asks(hub, "app"), done.rest
    with pytest.raises(RefusedError, match=r'405 .*"gate" is expected'):
        app.write("PUT", f"pulls/{pull.number}/merge", {})
    hub.succeed(hub.head(pull), "gate")
    with pytest.raises(RefusedError, match=r"405 .*approving review is required"):
        person.write("PUT", f"pulls/{pull.number}/merge", {})
    assert app.write("PUT", f"pulls/{pull.number}/merge", {})["merged"] is True


def test_not_even_the_app_pushes_to_main(done, hub, commit):
    hub.tokens["app"] = Token(f"{SLUG}[bot]", {"*": "write"}, 4242)
    with pytest.raises(RefusedError, match=r"422|409|403"):
        asks(hub, "app").write("PATCH", "git/refs/heads/main", {"sha": commit, "force": True})


def test_the_repository_is_where_origin_points(tmp_path):
    from contracts.errors import InputError
    from release.git import Git
    from release.github.rest import connect

    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for address in (
        "https://github.com/a-b/c.d.git",
        "git@github.com:a-b/c.d.git",
        "ssh://git@github.com/a-b/c.d",
        "https://github.corp.example/a-b/c.d",
    ):
        subprocess.run(["git", "-C", tmp_path, "config", "remote.origin.url", address], check=True)
        assert connect(environ={"GITHUB_TOKEN": "t"}, git=Git.at(tmp_path)).repository == "a-b/c.d"
    subprocess.run(["git", "-C", tmp_path, "config", "remote.origin.url", "../elsewhere.git"], check=True)
    with pytest.raises(InputError, match="GITHUB_REPOSITORY: names no repository"):
        connect(environ={"GITHUB_TOKEN": "t"}, git=Git.at(tmp_path))
    with pytest.raises(InputError, match="GITHUB_TOKEN: is not set"):
        connect(environ={}, git=Git.at(tmp_path))
