"""The image of pipelines/Dockerfile: what it takes along is enough for a run, and the manifests expect what it is."""

import os
import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from pipelines.argo import manifests
from pipelines.argo.dependencies import waits_for
from pipelines.pipeline_registry import DATA, TRAIN, Registry

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "pipelines" / "Dockerfile").read_text()
FINAL = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
COPIED = [name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", FINAL, re.M) for name in line.split()]


def test_the_manifests_expect_what_the_image_is():
    assert re.search(r"^WORKDIR (.+)$", FINAL, re.M)[1] == manifests.HOME
    assert re.search(r"^USER (.+)$", FINAL, re.M)[1] == f"{manifests.USER}:{manifests.USER}"
    assert f"RUN mkdir {manifests.VOLUME} " in FINAL


def test_the_base_image_is_an_argument():
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.M) == ["${BASE}", "${BASE}"]
    assert re.search(r"^ARG BASE=\S+:\d\S+$", DOCKERFILE, re.M)


def test_what_is_copied_is_sent_to_the_builder_and_tests_and_secrets_are_not():
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    sent = [line[1:] for line in lines if line.startswith("!")]
    assert set(COPIED) <= set(sent)
    assert not any(fnmatch(name, place) for place in sent for name in (".git", ".env", "tests", "data/mlflow", ".venv"))
    assert "conf/local" in lines[lines.index("!conf") :]


@pytest.fixture
def image(tmp_path):
    """The file system of a pod, as far as it matters: what is copied, no git, an empty volume."""
    srv = tmp_path / "srv"
    srv.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, srv / name, ignore=shutil.ignore_patterns("__pycache__", "local"))
        else:
            shutil.copy(ROOT / name, srv / name)
    return srv


def pod(image, environments, pipeline, *arguments):
    """What the container of this pipeline does; the volume is `data/`."""
    kedro = environments["train"].parent / "kedro"
    environment = {
        "PATH": str(kedro.parent),
        "HOME": os.environ.get("TMPDIR", "/tmp"),
        "VENV_VALIDATE": str(environments["validate"].parents[1]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "GIT_SHA": "0" * 40,
        "GIT_PYTHON_REFRESH": "quiet",
    }
    command = [kedro, "run", "--env", "argo", "--pipelines", pipeline, "--params", "", *arguments]
    done = subprocess.run(command, cwd=image, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def written_outside(image, before):
    return {path for path in image.rglob("*") if "data" not in path.relative_to(image).parts[:1]} - before


@pytest.mark.slow
@pytest.mark.timeout(1800)  # the whole reference data, with a new interpreter for each pipeline
def test_pod_after_pod_gets_from_the_sources_to_a_registered_version(image, environments):
    registry = Registry()
    before = set(image.rglob("*"))
    for pipeline in waits_for({name: registry[name] for name in (*DATA, *TRAIN)}):
        pod(image, environments, pipeline)
    assert (image / "data" / "registered_version.json").is_file()
    assert written_outside(image, before) == set(), "the root file system of a pod is read-only"
