import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from kedro.pipeline import Node, Pipeline

from contracts.errors import InputError
from pipelines.tracking import Settings, Tracking, close_orphans, connect, git_state

EXPERIMENT = "tests"
RUN = {"pipeline_names": ["training"]}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("mlflow")
    return Settings(tracking_uri=f"sqlite:///{folder}/mlflow.db", artifacts="artifacts", experiment=EXPERIMENT)


@pytest.fixture
def tracking(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracking]:
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    before = mlflow.get_tracking_uri()
    found = Tracking()
    found._settings, found._project = settings, tmp_path
    yield found
    found.end("FINISHED")
    mlflow.set_tracking_uri(before)


def pipeline(tag: str) -> Pipeline:
    return Pipeline([Node(lambda x: x, "x", "y", name=f"{tag}.some", tags=tag)])


def last_run() -> mlflow.entities.Run:
    return mlflow.search_runs(experiment_names=[EXPERIMENT], output_format="list", max_results=1)[0]


def test_a_run_that_makes_a_model_is_tracked_with_its_commit_and_how_it_ended(tracking: Tracking) -> None:
    for ended, end in (
        ("FINISHED", tracking.after_pipeline_run),
        ("FAILED", tracking.on_pipeline_error),
        ("KILLED", lambda: tracking.end("KILLED")),
    ):
        tracking.before_pipeline_run(RUN, pipeline("training"))
        assert last_run().info.status == "RUNNING"
        end()
        assert last_run().info.status == ended
        assert {"git_sha", "git_dirty", "pipelines"} <= set(last_run().data.tags)


def test_a_run_without_a_model_is_not_tracked(tracking: Tracking) -> None:
    tracking.before_pipeline_run(RUN, pipeline("features"))
    assert mlflow.active_run() is None


def test_a_run_that_is_named_is_gone_on_with(tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking.before_pipeline_run(RUN, pipeline("training"))
    first = last_run().info.run_id
    tracking.end("FINISHED")
    monkeypatch.setenv("MLFLOW_RUN_ID", first)
    tracking.before_pipeline_run(RUN, pipeline("validation"))
    assert mlflow.active_run().info.run_id == first


def test_a_run_whose_process_is_gone_reads_killed(tracking: Tracking) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    tracking.before_pipeline_run(RUN, pipeline("training"))
    run = mlflow.active_run().info.run_id
    mlflow.set_tag("pid", str(gone.pid))
    close_orphans(EXPERIMENT)
    assert mlflow.MlflowClient().get_run(run).info.status == "KILLED"
    mlflow.set_tag("pid", str(os.getpid()))


def test_a_server_that_does_not_answer_is_one_line_within_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    settings = Settings(tracking_uri=f"http://127.0.0.1:{port}", artifacts="", experiment=EXPERIMENT)
    started = time.monotonic()
    with pytest.raises(
        InputError, match=rf"conf/base/mlflow.yml: tracking_uri: http://127.0.0.1:{port} does not answer"
    ):
        connect(settings, tmp_path)
    assert time.monotonic() - started < 5


def test_a_server_that_is_silent_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(InputError, match="does not answer"):
            connect(Settings(tracking_uri=uri, artifacts="", experiment=EXPERIMENT, timeout_seconds=0.2), tmp_path)


def test_the_commit_is_said_and_whether_something_is_not_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GIT_SHA", raising=False)
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    state = git_state(tmp_path)
    assert len(state["git_sha"]) == 40
    assert state["git_dirty"] == "false"
    (tmp_path / "new").write_text("", encoding="utf-8")
    assert git_state(tmp_path)["git_dirty"] == "true"
