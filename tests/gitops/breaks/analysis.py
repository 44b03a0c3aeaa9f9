"""Metrics that take silence for health, or a job that never ran for a success."""

import copy

from tests.gitops.breaks.changes import BLUEGREEN, CANARY, Breaks, metric, of, on
from tests.gitops.manifests import server


def job(*, beside: bool = False, **fields):
    """An analysis by a job, as it should be but for the fields; beside the service's own metrics, or on its own."""

    def change(manifests):
        spec = {"backoffLimit": 0, "activeDeadlineSeconds": 60} | fields.pop("spec", {})
        image = fields.pop("image", server(manifests)["image"])
        spec["template"] = {"metadata": {"labels": {}}, "spec": {"containers": [{"image": image}]}}
        one = {"name": "smoke", "provider": {"job": {"spec": spec}}} | fields
        template = "slo" if beside else "seen"
        of("AnalysisTemplate", template, lambda d: d["spec"]["metrics"].append(one))(manifests)

    return change


def twice(document):
    document["spec"]["metrics"].append(copy.deepcopy(document["spec"]["metrics"][0]))


BREAKS: Breaks = {
    "no_answer_is_an_error_and_no_number_is_not_a_verdict_by_chance": on(
        CANARY,
        metric("slo", failureCondition="result[0] < 0.9"),
        metric("slo", successCondition=None),
        metric("slo", successCondition="result[0] >= 0.99"),
        metric("slo", successCondition="len(result) > 0 && result[0] >= 0.99"),
        metric("slo", 1, failureLimit=None),
        metric("traffic-floor", consecutiveErrorLimit=None),
        metric("slo", **{"provider.prometheus.address": "http://prometheus"}),
    ),
    "an_image_that_cannot_be_pulled_promotes_nothing": on(
        CANARY,
        job(inconclusiveLimit=1),
        job(spec={"backoffLimit": 3}),
        job(spec={"activeDeadlineSeconds": None}),
        job(image="busybox"),
        metric("slo", inconclusiveLimit=1, count=1),
    ),
    "a_job_never_ends_what_watches_the_service": [*on(CANARY, job(beside=True)), *on(BLUEGREEN, job())],
    "templates_that_run_together_can_be_merged": [
        *on(CANARY, of("AnalysisTemplate", "slo", twice), metric("slo", name="prediction-shift")),
        *on(BLUEGREEN, metric("slo-observed", name="traffic-floor")),
    ],
    "an_analysis_that_is_waited_for_ends": [
        *on(CANARY, metric("traffic-floor", count=None)),
        *on(BLUEGREEN, metric("seen", count=None), metric("slo-observed", count=None)),
    ],
}
