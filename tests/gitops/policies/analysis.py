"""What a metric's fields make of no traffic, no data and a job that never ran."""

import re

from tests.gitops.manifests import of_kind, rollout, server
from tests.gitops.policies.registry import canary, policy, steps


def metrics(rendered):
    for template in of_kind(rendered, "AnalysisTemplate"):
        for metric in template["spec"]["metrics"]:
            yield template["metadata"]["name"], metric


def waited_for(rendered):
    """The analyses at whose end a release goes on: between steps, before and after a switch."""
    blue = rollout(rendered)["spec"].get("strategy", {}).get("blueGreen", {})
    found = [step["analysis"] for step in steps(rendered) if "analysis" in step]
    return found + [blue[field] for field in ("prePromotionAnalysis", "postPromotionAnalysis") if field in blue]


@policy
def no_answer_is_an_error_and_no_number_is_not_a_verdict_by_chance(rendered):
    for template, metric in metrics(rendered):
        if "prometheus" not in metric["provider"]:
            continue
        name, condition = f"{template}/{metric['name']}", metric.get("successCondition", "")
        if "failureCondition" in metric or not condition:
            yield f"{name}: with both conditions, or only the other, a value between them waits for a person"
        if not re.match(r"len\(result\) > 0 && !isNaN\(result\[0\]\) ", condition):
            yield f"{name}: an empty answer and 0/0 are not looked at first"
        if "failureLimit" not in metric or "consecutiveErrorLimit" not in metric:
            yield f"{name}: it does not say how many failures and errors it bears"
        if "address" in metric["provider"]["prometheus"]:
            yield f"{name}: where Prometheus is, is the cluster's business"


@policy
def an_image_that_cannot_be_pulled_promotes_nothing(rendered):
    """Such a job is Inconclusive; borne once on a metric that is measured once, that counts as having succeeded."""
    for template, metric in metrics(rendered):
        name = f"{template}/{metric['name']}"
        once = metric.get("count", 1 if "interval" not in metric else 0) == 1
        if metric.get("inconclusiveLimit", 0) > 0 and (once or "job" in metric["provider"]):
            yield f"{name}: inconclusiveLimit would let it pass unmeasured"
        job = metric["provider"].get("job")
        if job is None:
            continue
        if job["spec"].get("backoffLimit") != 0 or not job["spec"].get("activeDeadlineSeconds"):
            yield f"{name}: a job that cannot start would be waited for"
        if any(one["image"] != server(rendered)["image"] for one in job["spec"]["template"]["spec"]["containers"]):
            yield f"{name}: another image than the one that is promoted"


@policy
def a_job_never_ends_what_watches_the_service(rendered):
    """One inconclusive metric ends its whole run, and the metrics beside it look no more."""
    kinds: dict[str, set[str]] = {}
    for template, metric in metrics(rendered):
        kinds.setdefault(template, set()).update(metric["provider"])
    for one in [canary(rendered).get("analysis", {}), *waited_for(rendered)]:
        together = set().union(*(kinds.get(t["templateName"], set()) for t in one.get("templates", [])))
        if {"job", "prometheus"} <= together:
            yield "jobs and Prometheus in one run"


@policy
def templates_that_run_together_can_be_merged(rendered):
    found = {one["metadata"]["name"]: one["spec"] for one in of_kind(rendered, "AnalysisTemplate")}
    for one in [canary(rendered).get("analysis", {}), *waited_for(rendered)]:
        names = [
            m["name"] for t in one.get("templates", []) for m in found.get(t["templateName"], {}).get("metrics", [])
        ]
        if len(names) != len(set(names)):
            yield f"two metrics of one name in one run: {sorted(names)}"


@policy
def an_analysis_that_is_waited_for_ends(rendered):
    """Argo Rollouts refuses the whole Rollout otherwise; only what runs beside the steps may go on for ever."""
    waited = {template["templateName"] for use in waited_for(rendered) for template in use["templates"]}
    for template, metric in metrics(rendered):
        if template in waited and "interval" in metric and "count" not in metric:
            yield f"{template}/{metric['name']}: measured for ever, and waited for"
