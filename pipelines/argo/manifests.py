"""The WorkflowTemplate and the CronWorkflow, built with Hera for Argo Workflows 4.

One pod per pipeline, from one image, as an unprivileged user on a read-only file system. What passes from pod to pod
lies on one volume, mounted where a laptop has its `data/` folder.
"""

from collections.abc import Mapping
from typing import Any

from hera.workflows import (
    DAG,
    Container,
    CronWorkflow,
    EmptyDirVolume,
    ExistingVolume,
    Parameter,
    Resources,
    RetryStrategy,
    SecretEnvFrom,
    Task,
    WorkflowTemplate,
)
from hera.workflows.models import (
    Backoff,
    Capabilities,
    ExecutorConfig,
    Metadata,
    Mutex,
    PodGC,
    PodSecurityContext,
    SeccompProfile,
    SecurityContext,
    Synchronization,
    TTLStrategy,
    VolumeMount,
    WorkflowMetadata,
    WorkflowTemplateRef,
)

from pipelines.argo.settings import Pod, Settings

IMAGE = "pipelines"  # gitops/workflows/kustomization.yaml says which image that is, by digest
HOME = "/srv"  # pipelines/Dockerfile: WORKDIR
VOLUME = "data"
USER = 10001  # pipelines/Dockerfile: USER
ENTRYPOINT = "pipelines"

# Argo gives status Error when its own containers or the controller failed, or the pod is gone. A pod that the kubelet
# ended is Failed, like one whose program failed; only the message tells them apart.
CLUSTER_ERROR = (
    'lastRetry.status == "Error" || lastRetry.message matches "(?i)node shutdown|low on resource|evicted|preempt"'
)


def workflow_template(
    model: str, owner: str, waits_for: Mapping[str, tuple[str, ...]], settings: Settings
) -> dict[str, Any]:
    """The pipelines as a DAG: `kedro run --env argo --pipelines <name>` in each pod."""
    labels = _labels(model, owner)
    with WorkflowTemplate(
        name=f"{model}-pipelines",
        labels=labels,
        workflow_metadata=WorkflowMetadata(labels=labels),
        pod_metadata=Metadata(labels=labels),
        entrypoint=ENTRYPOINT,
        # `-p params=training.epochs=3`: what `kedro run --params` takes.
        arguments=[Parameter(name="params", value="")],
        active_deadline_seconds=settings.deadline_minutes * 60,
        # Two workflows at once would write over each other's data.
        synchronization=Synchronization(mutexes=[Mutex(name=f"{model}-data")]),
        ttl_strategy=TTLStrategy(
            seconds_after_success=settings.kept.succeeded_seconds, seconds_after_failure=settings.kept.failed_seconds
        ),
        pod_gc=PodGC(strategy="OnPodSuccess"),
        # The pipelines get no token for the cluster; Argo's own containers get one that may only report results.
        service_account_name=f"{model}-pipelines",
        automount_service_account_token=False,
        executor=ExecutorConfig(service_account_name=f"{model}-executor"),
        security_context=PodSecurityContext(
            run_as_non_root=True,
            run_as_user=USER,
            run_as_group=USER,
            fs_group=USER,
            fs_group_change_policy="OnRootMismatch",
            seccomp_profile=SeccompProfile(type="RuntimeDefault"),
        ),
        volumes=[
            ExistingVolume(name="data", claim_name=f"{model}-data"),
            EmptyDirVolume(name="scratch", size_limit=settings.scratch),
        ],
    ) as template:
        containers = {name: _container(model, name, settings) for name in waits_for}
        with DAG(name=ENTRYPOINT):
            tasks = {name: Task(name=_dns(name), template=containers[name]) for name in waits_for}
            for name, makers in waits_for.items():
                for maker in makers:
                    tasks[maker] >> tasks[name]
    return template.to_dict()


def cron_workflow(model: str, owner: str, settings: Settings) -> dict[str, Any]:
    """Training again, by the clock: runs the WorkflowTemplate, never two at once."""
    labels = _labels(model, owner)
    schedule = settings.schedule
    return CronWorkflow(
        name=f"{model}-retraining",
        labels=labels,
        schedules=list(schedule.cron),
        timezone=schedule.timezone,
        concurrency_policy="Forbid",
        starting_deadline_seconds=schedule.starting_deadline_seconds,
        successful_jobs_history_limit=3,
        failed_jobs_history_limit=3,
        cron_suspend=schedule.suspended,
        workflow_template_ref=WorkflowTemplateRef(name=f"{model}-pipelines"),
        workflow_metadata=WorkflowMetadata(labels=labels),
    ).to_dict()


def _container(model: str, pipeline: str, settings: Settings) -> Container:
    pod = settings.pods.of(pipeline)
    return Container(
        name=_dns(pipeline),
        image=IMAGE,
        command=["kedro", "run"],
        args=["--env", "argo", "--pipelines", pipeline, "--params", "{{workflow.parameters.params}}"],
        working_dir=HOME,
        active_deadline_seconds=pod.minutes * 60,
        retry_strategy=RetryStrategy(
            limit=settings.retry.limit,
            retry_policy="Always",
            expression=CLUSTER_ERROR,
            backoff=Backoff(duration=settings.retry.first_wait, factor=2, max_duration=settings.retry.longest_wait),
        ),
        # Addresses and keys of an object store or of MLflow, where there are some: by name, never in git.
        env_from=[SecretEnvFrom(name=f"{model}-pipelines", optional=True)],
        resources=_resources(pod),
        security_context=SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=Capabilities(drop=["ALL"]),
        ),
        volume_mounts=[
            VolumeMount(name="data", mount_path=f"{HOME}/{VOLUME}"),
            VolumeMount(name="scratch", mount_path="/tmp"),  # noqa: S108 (a volume of the pod's own),
        ],
    )


def _resources(pod: Pod) -> Resources:
    gpus = pod.gpus or None
    return Resources(
        cpu_request=pod.cpu, cpu_limit=pod.cpu, memory_request=pod.memory, memory_limit=pod.memory, gpus=gpus
    )


def _labels(model: str, owner: str) -> dict[str, str]:
    """Who it is and who is called when it is wrong; nothing that changes with a commit."""
    return {"app.kubernetes.io/name": "pipelines", "app.kubernetes.io/part-of": model, "owner": owner}


def _dns(name: str) -> str:
    return name.replace("_", "-")
