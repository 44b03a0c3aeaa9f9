"""The life of an MLflow run: opened when a pipeline that makes a model takes part, closed with how it ended.

Nodes log with `mlflow.log_...` to the run that is open. MLFLOW_RUN_ID, where it is set, names the run to go on with, so
that several pods of one workflow write to one run.
"""

import os
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline

from contracts.errors import InputError
from pipelines.parameters import Section, convert

TRACKED = frozenset({"training", "validation", "registration"})


class Settings(Section, frozen=True, kw_only=True):
    """`mlflow.yml`."""

    tracking_uri: str
    artifacts: str
    experiment: str
    timeout_seconds: float = 5


class Tracking:
    """Opens and closes the MLflow run of a Kedro run."""

    def __init__(self) -> None:
        self._project = Path()
        self._settings: Settings | None = None
        self._open = False

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        self._project = context.project_path
        self._settings = convert(context.config_loader["mlflow"], Settings, "conf/base/mlflow.yml")

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        taking_part = sorted({tag for node in pipeline.nodes for tag in node.tags} & TRACKED)
        if not taking_part or self._settings is None:
            return
        connect(self._settings, self._project)
        import mlflow  # seconds to import, and ingestion and features do without

        close_orphans(self._settings.experiment)
        mlflow.start_run(run_name=",".join(run_params["pipeline_names"] or ["default"]))
        self._open = True
        mlflow.set_tags(
            {
                **git_state(self._project),
                "pipelines": ",".join(taking_part),
                "host": socket.gethostname(),
                "pid": str(os.getpid()),
            }
        )

    @hook_impl
    def after_pipeline_run(self) -> None:
        self.end("FINISHED")

    @hook_impl
    def on_pipeline_error(self) -> None:
        self.end("FAILED")

    def end(self, status: str) -> None:
        """Close the run with a status (FINISHED, FAILED, KILLED); does nothing when none is open."""
        if self._open:
            import mlflow

            self._open = False
            mlflow.end_run(status)


def connect(settings: Settings, project: Path) -> None:
    """Point MLflow at the store and the experiment; raises InputError when a server does not answer in time."""
    uri = settings.tracking_uri
    if uri.startswith(("http://", "https://")):
        _answers(uri, settings.timeout_seconds)
    import mlflow

    mlflow.set_tracking_uri(_absolute(uri, project))
    if mlflow.get_experiment_by_name(settings.experiment) is None:
        artifacts = None if uri.startswith("http") else (project / settings.artifacts).as_uri()
        mlflow.create_experiment(settings.experiment, artifacts)
    mlflow.set_experiment(settings.experiment)


def close_orphans(experiment: str) -> None:
    """Runs of this machine whose process is gone (kill -9) still read RUNNING: mark them killed."""
    import mlflow

    here = f"attributes.status = 'RUNNING' and tags.host = '{socket.gethostname()}'"
    for run in mlflow.search_runs(experiment_names=[experiment], filter_string=here, output_format="list"):
        if run.info.run_id != os.environ.get("MLFLOW_RUN_ID") and not _alive(int(run.data.tags["pid"])):
            mlflow.MlflowClient().set_terminated(run.info.run_id, "KILLED")


def git_state(project: Path) -> dict[str, str]:
    """Tags that say which commit runs: `git_sha`, and `git_dirty` ("true" when something is not committed).

    An image has no repository in it: there GIT_SHA, set when it was built, says the commit (pipelines/Dockerfile).
    """
    if not (project / ".git").exists() and (built_from := os.environ.get("GIT_SHA")):
        return {"git_sha": built_from, "git_dirty": "false"}

    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True, check=False)
        except FileNotFoundError:  # no git on this machine
            return ""
        return done.stdout.strip()

    return {
        "git_sha": git("rev-parse", "HEAD") or "unknown",
        "git_dirty": str(bool(git("status", "--porcelain"))).lower(),
    }


def _answers(uri: str, seconds: float) -> None:
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=seconds).close()  # noqa: S310 (http by the caller)
    except urllib.error.HTTPError:
        return  # it answers; whether we may come in, MLflow's own client finds out
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"conf/base/mlflow.yml: tracking_uri: {uri} does not answer: {reason}; start it, or use the default"
        ) from error


def _absolute(uri: str, project: Path) -> str:
    scheme, _, path = uri.partition(":///")
    if scheme != "sqlite" or Path(path).is_absolute():
        return uri
    (project / path).parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{project / path}"


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
