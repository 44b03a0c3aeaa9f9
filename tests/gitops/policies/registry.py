"""All policies by name, and what they look at together: pods, wherever a manifest holds them."""

from collections.abc import Callable, Iterator

from tests.gitops.manifests import of_kind

Rule = Callable[[list[dict]], Iterator[str]]
POLICIES: dict[str, Rule] = {}


def policy(rule: Rule) -> Rule:
    assert rule.__name__ not in POLICIES
    POLICIES[rule.__name__] = rule
    return rule


def breaches(name: str, rendered: list[dict]) -> list[str]:
    return list(POLICIES[name](rendered))


def workloads(rendered: list[dict]) -> list[dict]:
    """Pod templates: of the Rollout, of Deployments, of jobs that an analysis runs."""
    found = [document["spec"]["template"] for kind in ("Rollout", "Deployment") for document in of_kind(rendered, kind)]
    for template in of_kind(rendered, "AnalysisTemplate"):
        jobs = (metric["provider"].get("job") for metric in template["spec"]["metrics"])
        found += [job["spec"]["template"] for job in jobs if job]
    return found


def pods(rendered: list[dict]) -> list[dict]:
    return [template["spec"] for template in workloads(rendered)]


def containers(rendered: list[dict]) -> list[dict]:
    return [one for pod in pods(rendered) for one in [*pod["containers"], *pod.get("initContainers", [])]]


def canary(rendered: list[dict]) -> dict:
    """The canary strategy, or nothing where there is another."""
    (found,) = of_kind(rendered, "Rollout")
    return found["spec"].get("strategy", {}).get("canary", {})


def steps(rendered: list[dict]) -> list[dict]:
    return canary(rendered).get("steps", [])
