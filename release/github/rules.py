"""Rulesets and environments: what the files say beside what GitHub has."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from release.github.names import Names
from release.github.plan import Change, Plan, Request, differences
from release.github.rest import Rest
from release.github.settings import Actor, Environment, Reviewer, Ruleset

KINDS = {"app": "Integration", "team": "Team", "user": "User", "role": "RepositoryRole"}
CHECKS = "required_status_checks"


def ruleset(rest: Rest, names: Names, wanted: Ruleset, listed: list[dict[str, Any]], prune: bool) -> Plan:
    """One ruleset, by its name. Rules, checks and actors that were added to it by hand stay, unless `prune`."""
    what = f"ruleset {wanted.name}"
    body, called = _body(names, wanted)
    found = next((each for each in listed if each["name"] == wanted.name), None)
    if found is None:
        lines = differences(_form(body, called), {})
        return Plan(changes=(Change(what=what, lines=lines, requests=(Request("POST", "rulesets", body),)),))
    path = f"rulesets/{found['id']}"
    there = rest.get(path)
    if "bypass_actors" not in there:
        return Plan(refused=(f"{what}: this token is not shown who may pass it by; it needs Administration: write",))
    lines = differences(_form(body, called), _form(there, called))
    more = _completed(body, there, prune)
    if prune:
        lines += tuple(f"- {line}" for line in more)
    changes = (Change(what=what, lines=lines, requests=(Request("PUT", path, body),)),) if lines else ()
    return Plan(changes=changes, kept=() if prune else tuple(f"{what}: {line}" for line in more))


def _body(names: Names, wanted: Ruleset) -> tuple[dict[str, Any], dict[str, str]]:
    """As GitHub's API takes it, with numbers for names; and what each number is called here."""
    body = msgspec.to_builtins(wanted)
    called: dict[str, str] = {}
    body["bypass_actors"], body["rules"] = [], list(body["rules"])
    for actor in wanted.bypass_actors:
        kind, name = _named(actor)
        entry = {"actor_id": names.id(kind, name), "actor_type": KINDS[kind], "bypass_mode": actor.bypass_mode}
        body["bypass_actors"].append(entry)
        called[_actor(entry)] = f"{kind} {name}"
    for rule in body["rules"]:
        for check in rule["parameters"].get(CHECKS, ()):
            if slug := check.pop("app", None):
                check["integration_id"] = names.app(slug).id
        if not rule["parameters"]:
            del rule["parameters"]
    return body, called


def _named(actor: Actor | Reviewer) -> tuple[str, str]:
    return next((kind, name) for kind in KINDS if (name := getattr(actor, kind, "")))


def _form(body: Mapping[str, Any], called: Mapping[str, str]) -> dict[str, Any]:
    """To compare: lists in which each has a name of its own become mappings."""
    actors = {_actor(each): each.get("bypass_mode", "always") for each in body.get("bypass_actors") or ()}
    form: dict[str, Any] = {
        "enforcement": body["enforcement"],
        "target": body.get("target", "branch"),
        "holds for": (body.get("conditions") or {}).get("ref_name") or {},
        "rule": {},
    }
    if actors:
        form["passes by"] = {called.get(actor, actor): mode for actor, mode in actors.items()}
    for rule in body.get("rules") or ():
        parameters = dict(rule.get("parameters") or {})
        if checks := parameters.pop(CHECKS, None):
            parameters["check"] = {each["context"]: each.get("integration_id") for each in checks}
        form["rule"][rule["type"]] = parameters
    return form


def _actor(actor: Mapping[str, Any]) -> str:
    return " ".join(map(str, filter(None, (actor["actor_type"], actor.get("actor_id")))))


def _completed(body: dict[str, Any], there: Mapping[str, Any], prune: bool) -> list[str]:
    """What a ruleset has beyond the file, a line each; kept in the body, which replaces all, unless `prune`."""
    more: list[str] = []
    known = {_actor(each) for each in body["bypass_actors"]}
    for actor in there["bypass_actors"] or ():
        if _actor(actor) not in known:
            more.append(f"passes by.{_actor(actor)}: {actor.get('bypass_mode', 'always')}")
            body["bypass_actors"] += [] if prune else [actor]
    rules = {rule["type"]: rule for rule in body["rules"]}
    for rule in there.get("rules") or ():
        ours = rules.get(rule["type"])
        if ours is None:
            more.append(f"rule.{rule['type']}")
            body["rules"] += [] if prune else [rule]
            continue
        theirs = dict(rule.get("parameters") or {})
        wanted = ours.get("parameters") or {}
        contexts = {each["context"] for each in wanted.get(CHECKS, ())}
        extra = [each for each in theirs.get(CHECKS, ()) if each["context"] not in contexts]
        more += [f"rule.{rule['type']}.check.{each['context']}" for each in extra]
        if theirs or wanted:  # a parameter that the file does not name keeps its value
            ours["parameters"] = {**theirs, **wanted}
        if CHECKS in wanted:
            ours["parameters"][CHECKS] = [*wanted[CHECKS], *([] if prune else extra)]
    return more


def environment(rest: Rest, names: Names, name: str, wanted: Environment, prune: bool) -> Plan:
    """One environment, its rules and the branches whose jobs may use it. Its secrets are people's to put there."""
    what = f"environment {name}"
    path = f"environments/{quote(name, safe='')}"
    found = rest.get(path)
    body = _protection(names, wanted)
    now = _protection_there(found or {})
    lines = differences(_readable(body), _readable(now)) if found else ("+ environment",)
    requests: tuple[Request, ...] = (Request("PUT", path, {**now, **body}),) if lines else ()
    by_name = bool((now.get("deployment_branch_policy") or {}).get("custom_branch_policies"))
    policies = rest.pages(f"{path}/deployment-branch-policies", "branch_policies") if found and by_name else []
    branches = {each["name"]: each["id"] for each in policies if each.get("type", "branch") == "branch"}
    for branch in wanted.branches:
        if branch not in branches:
            lines += (f"+ branch {branch}",)
            policy = {"name": branch, "type": "branch"}
            requests += (Request("POST", f"{path}/deployment-branch-policies", policy),)
    more = {each: number for each, number in branches.items() if each not in wanted.branches}
    if prune and wanted.branches:
        lines += tuple(f"- branch {each}" for each in more)
        requests += tuple(Request("DELETE", f"{path}/deployment-branch-policies/{each}") for each in more.values())
    kept = () if prune else tuple(f"{what}: branch {each}" for each in more)
    return Plan(changes=(Change(what=what, lines=lines, requests=requests),) if requests else (), kept=kept)


def _protection(names: Names, wanted: Environment) -> dict[str, Any]:
    """The part of the body that the file says."""
    said = msgspec.to_builtins(wanted)
    body = {key: said[key] for key in ("wait_timer", "prevent_self_review") if key in said}
    if wanted.branches:
        body["deployment_branch_policy"] = {"protected_branches": False, "custom_branch_policies": True}
    if "reviewers" in said:
        named = [_named(each) for each in wanted.reviewers or ()]
        body["reviewers"] = [{"type": KINDS[kind], "id": names.id(kind, name)} for kind, name in named]
    return body


def _protection_there(found: Mapping[str, Any]) -> dict[str, Any]:
    """What a PUT would have to say so that nothing changed: it takes what is left out for "none"."""
    now: dict[str, Any] = {"wait_timer": 0, "prevent_self_review": False, "reviewers": []}
    now["deployment_branch_policy"] = found.get("deployment_branch_policy")
    for rule in found.get("protection_rules") or ():
        now |= {key: rule[key] for key in ("wait_timer", "prevent_self_review") if key in rule}
        if "reviewers" in rule:
            now["reviewers"] = [{"type": each["type"], "id": each["reviewer"]["id"]} for each in rule["reviewers"]]
    return now


def _readable(body: Mapping[str, Any]) -> dict[str, Any]:
    form = dict(body)
    if "reviewers" in form:
        form["reviewers"] = sorted(f"{each['type']} {each['id']}" for each in form["reviewers"])
    if "deployment_branch_policy" in form:
        policy = form.pop("deployment_branch_policy") or {}
        by_name, protected = policy.get("custom_branch_policies"), policy.get("protected_branches")
        form["jobs of"] = "the branches named" if by_name else "protected branches" if protected else "any branch"
    return form
