"""What a repository lacks for a release, as far as the repository itself can say: each with the way out.

What only the forge knows (secrets, rules, the App) is asked there, by release/github/doctor.py.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import yaml

from contracts import budgets
from contracts.checks import Check, Status
from contracts.errors import InputError
from release import check as checking
from release import container, distribution, go_program, history, kustomize, pin, render, table
from release.git import Git
from release.oci import Layout

GATE = "repository"
OWNERS = ".github/CODEOWNERS"
APPLICATION = "gitops/argocd/applicationset.yaml"
WORDS: dict[Status, str] = {"fail": "advice", "not_run": "unknown", "warn": "advice", "pass": "good"}
SCHEMES = ("https://", "http://", "ssh://", "git://")


def local(root: Path, target: str, remote: str, layout: Path) -> tuple[Check, ...]:
    """Everything that can be seen in this clone and on this machine."""
    git = Git.at(root)
    return (
        *_git(git, target, remote),
        *_manifests(git.directory),
        *_environments(git, target),
        *_programs(),
        _layout(layout),
        _registry(),
        _prometheus(),
    )


def text(found: tuple[Check, ...]) -> str:
    """A line for each, what has to be mended first."""
    order: tuple[Status, ...] = ("fail", "not_run", "warn", "pass")
    ordered = sorted(found, key=lambda each: (not each.refused, order.index(each.status)))
    rows = [("MEND" if each.refused else WORDS[each.status], each.gate, each.name, each.detail) for each in ordered]
    return table.columns(("", "where", "what", "said"), rows)


def _git(git: Git, target: str, remote: str) -> Iterator[Check]:
    shallow = git.text("rev-parse", "--is-shallow-repository") == "true"
    yield _said("history", "fail" if shallow else "pass", "shallow: `git fetch --unshallow`" if shallow else "whole")
    tip = git.commit(f"refs/heads/{target}") or git.commit(f"refs/remotes/{remote}/{target}")
    yield _said("target branch", "pass" if tip else "fail", target if tip else f"no {target} here: name it, --target")
    name, mail = (git.run("config", "--get", f"user.{key}").text for key in ("name", "email"))
    who = f"{name} <{mail}>" if name and mail else "git config user.name NAME; git config user.email ADDRESS"
    yield _said("who commits", "pass" if name and mail else "fail", who)
    if remote not in git.text("remote").split():
        yield _said("remote", "warn", f"no {remote}: this clone alone is the truth; `git remote add {remote} ADDRESS`")
        return
    ours, theirs = git.text("remote", "get-url", remote), _watched(git.directory)
    same = _place(ours) == _place(theirs)
    detail = ours if same else f"{remote} is {ours}, and {APPLICATION} has Argo CD watch {theirs}: one of them is wrong"
    yield _said("remote", "pass" if same else "warn", detail)


def _manifests(root: Path) -> Iterator[Check]:
    try:
        for name in render.environments(root):
            budgets.load(root / render.BUDGETS, name)
        stale = render.stale(root)
    except InputError as error:
        yield _said("budgets", "fail", str(error))
        return
    detail = f"{len(stale)} files are not what the budgets say: `make render`, commit" if stale else "rendered"
    yield _said("budgets", "fail" if stale else "pass", detail)
    owners = root / OWNERS
    owned = owners.is_file() and _owned(owners.read_text(encoding="utf-8"), f"/{pin.path('production')}")
    detail = "production's line has an owner" if owned else f"{OWNERS}: /{pin.ENVIRONMENTS}/production/ needs an owner"
    yield _said("second pair of eyes", "pass" if owned else "warn", detail)


def _environments(git: Git, target: str) -> Iterator[Check]:
    tip = git.commit(f"refs/heads/{target}") or git.commit("HEAD")
    for name in render.environments(git.directory) if tip else ():
        path = pin.path(name)
        try:
            now = pin.read(git.file(tip or "", path) or b"", path)
            steps = history.steps(git, tip or "", name)
        except InputError as error:
            yield _said(name, "fail", str(error))
            continue
        step = history.current(steps, now)
        known = not now.digest or (step is not None and step.before is not None)
        detail = f"runs {now.tag or pin.NOTHING}" if known else f"{now}: no commit says where it came from; promote it"
        yield _said(name, "pass" if known else "warn", detail)


def _programs() -> Iterator[Check]:
    try:
        yield _said("kustomize", "pass", kustomize.find().version)
    except InputError as error:
        yield _said("kustomize", "fail", str(error))
    builder = container.find(container.ANY)
    detail = builder or "no docker, podman or buildah: images are code and bundle alone (docs/image.md)"
    yield _said("container builder", "pass" if builder else "warn", detail)
    syft = shutil.which("syft") or go_program.path("syft").is_file() or go_program.obtainable()
    detail = "there, or Go to build it with" if syft else "no syft and no Go: `make sbom` cannot work"
    yield _said("bill of materials", "pass" if syft else "warn", detail)


def _layout(layout: Path) -> Check:
    try:
        count = len(Layout.open(layout).index().manifests)
    except InputError as error:
        return _said("images", "warn", str(error))
    return _said("images", "pass", f"{layout}: {count} manifests")


def _registry() -> Check:
    known = bool(os.environ.get(distribution.TOKEN))
    detail = "credentials are there" if known else f"{distribution.USER}, {distribution.TOKEN}: unset; public ones only"
    return _said("registry", "pass" if known else "warn", detail)


def _prometheus() -> Check:
    address = os.environ.get(checking.ADDRESS, "")
    detail = address or f"{checking.ADDRESS}: unset; `check` knows nothing of the error budget"
    return _said("error budget", "pass" if address else "warn", detail)


def _watched(root: Path) -> str:
    try:
        document = yaml.safe_load((root / APPLICATION).read_text(encoding="utf-8"))
        return str(document["spec"]["template"]["spec"]["source"]["repoURL"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return "nothing that can be read"


def _place(address: str) -> str:
    """A repository's address without what differs between ways to reach it: scheme, user, `.git`."""
    place = address.removesuffix("/").removesuffix(".git")
    for scheme in SCHEMES:
        place = place.removeprefix(scheme)
    place = place.rpartition("@")[2]
    return place.replace(":", "/", 1).lower() if "://" not in address else place.lower()


def _owned(owners: str, path: str) -> bool:
    """Does the last line of CODEOWNERS that names a folder of the path name anybody?"""
    owned = False
    for words in (line.split("#")[0].split() for line in owners.splitlines()):
        if words and (words[0] == "*" or path.startswith(words[0].removesuffix("*"))):
            owned = len(words) > 1
    return owned


def _said(name: str, status: Status, detail: str) -> Check:
    return Check(gate=GATE, name=name, status=status, detail=" ".join(detail.split()), blocking=status == "fail")
