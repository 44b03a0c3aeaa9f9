"""One registered version per bundle digest: killed at any step, asked again, asked by several at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.report import Check, Report
from pipelines.registration import lineage
from tests import bundles

STEPS = 9


@pytest.fixture(scope="module")
def found(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What came of every case, see registrations.py."""
    command = [sys.executable, "-m", "tests.registration.registrations", str(tmp_path_factory.mktemp("mlflow"))]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def whole(case: dict) -> None:
    """Everything is there, once."""
    assert case["versions"] == [1]
    assert case["aliases"] == {"candidate": 1}
    assert case["provenance"] == case["registered provenance"] == "1"
    assert case["run"]
    assert case["registered digest"]


@pytest.mark.parametrize("steps", range(STEPS + 1))
def test_killed_between_two_steps_the_next_run_ends_with_one_version(steps: int, found: dict) -> None:
    whole(found["killed"][str(steps)])


def test_every_boundary_between_steps_was_tried(found: dict) -> None:
    assert list(found["killed"]) == [str(number) for number in range(STEPS + 1)]


@pytest.mark.parametrize("moment", range(5))
def test_killed_in_the_middle_of_a_step_the_next_run_ends_with_one_version(moment: int, found: dict) -> None:
    whole(found["random"][str(moment)])


def test_several_processes_at_once_make_one_version(found: dict) -> None:
    assert found["statuses together"] == [0, 0, 0, 0]
    whole(found["together"])


def test_two_versions_of_one_digest_become_the_older_one(found: dict) -> None:
    whole(found["twice"])


def test_the_version_says_where_it_comes_from(found: dict) -> None:
    tags = found["clean"]["tags"]
    assert tags["bundle_digest"].startswith("sha256:")
    assert tags["gate_verdict"] == "passed"
    for name in (
        "git_sha",
        "git_dirty",
        "data_hash",
        "parameters_hash",
        "code_hash",
        "requirements_hash",
        "seed",
        "parent",
    ):
        assert name in tags


@pytest.mark.parametrize(("compared", "parent"), [("sha256:" + "0" * 64, "sha256:" + "0" * 64), ("none", "")])
def test_the_parent_is_the_champion_that_the_gates_compared_with(tmp_path: Path, compared: str, parent: str) -> None:
    gates = Report(title="gates", checks=(), facts={"champion": compared})
    assert lineage.tags(bundles.write(tmp_path), gates, "")["parent"] == parent


def test_the_run_shows_what_the_gates_measured(found: dict) -> None:
    assert found["clean"]["metrics"] == {"gates/quality/auc_reaches_the_floor": 0.8}


def test_nothing_in_the_registry_is_a_pickle(found: dict) -> None:
    assert found["clean"]["pickles"] == []


def test_a_forced_version_is_labelled_and_no_candidate(found: dict) -> None:
    case = found["refused"]
    assert case["versions"] == [1]
    assert case["aliases"] == {}
    assert case["tags"]["gate_verdict"] == "refused"
    assert case["tags"]["gate_refusals"] == "quality: auc reaches the floor"
    assert case["tags"]["forced_reason"] == "the demo shows a bad release"


def test_metrics_have_names_that_mlflow_takes(tmp_path: Path) -> None:
    checks = (
        Check(gate="golden rows", name="answers are reproduced", status="pass", value=1e-7),
        Check(gate="deepchecks", name="New Label", status="pass", value="text"),
    )
    gates = Report(title="Gates", checks=checks)
    assert lineage.metrics(gates) == {"gates/golden_rows/answers_are_reproduced": 1e-7}
    assert all(isinstance(value, str) for value in lineage.tags(bundles.write(tmp_path), gates, "").values())
