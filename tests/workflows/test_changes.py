"""What a change has to run, by the files it touches."""

import json

import pytest

from release import changes
from tests.workflows.site import git

RELEASE = "gitops/envs/staging/release/kustomization.yaml"


def answers(paths):
    return {name: json.loads(answer) for name, answer in changes.outputs(paths).items()}


@pytest.mark.parametrize(
    ("paths", "trains", "tests"),
    [
        ([RELEASE], False, False),
        ([RELEASE, "docs/release.md"], False, True),
        ([RELEASE, "conf/base/budgets.yml"], True, True),
        (["gitops/base/rollout.yaml"], False, True),
        (["gitops/envs/staging/derived/analysis.yaml"], False, True),
        (["tests/serving/test_server.py", ".github/workflows/main.yml", "README.md"], False, True),
        (["pipelines/training/nodes.py"], True, True),
        (["serving/app.py"], True, True),
        (["requirements/serve.txt"], True, True),
        (["something/nobody/has/heard/of"], True, True),
        (["docs"], True, True),
        (["conf/base/gitops/envs/x/release/y"], True, True),
    ],
    ids=str,
)
def test_release_files_alone_run_nothing_and_what_is_not_known_trains(paths, trains, tests):
    said = answers(paths)
    assert (said["trains"], said["tests"]) == (trains, tests)
    assert said["promotion"] is (paths == [RELEASE])
    assert said["environments"] == (["staging"] if RELEASE in paths else [])


def test_where_nobody_knows_what_changed_everything_runs():
    assert answers(None) == {"trains": True, "tests": True, "promotion": False, "environments": []}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/nodes.py").write_text("x\n" * 9)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "Start")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    return tmp_path


def test_a_file_that_moved_away_or_went_counts_where_it_was(repository):
    (repository / "docs").mkdir()
    git(repository, "mv", "pipelines/nodes.py", "docs/nodes.md")
    git(repository, "commit", "-q", "-m", "Move")
    assert changes.changed("HEAD~1") == ["docs/nodes.md", "pipelines/nodes.py"]
    assert changes.main(["--since", "HEAD~1"]) == 0
    assert (repository / "output").read_text().splitlines()[0] == "trains=true"


@pytest.mark.parametrize("since", ["0" * 40, "1" * 40, "--output=pwned", "main; touch pwned", ""])
def test_a_commit_that_is_none_is_no_reason_to_run_less(repository, since):
    assert changes.changed(since) is None
    assert not (repository / "pwned").exists()


def test_a_file_s_name_cannot_add_an_output(repository):
    name = 'gitops/envs/a"]\ntrains=false/release/x'
    (repository / name).parent.mkdir(parents=True)
    (repository / name).write_text("x\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "Hostile")
    assert changes.main(["--since", "HEAD~1"]) == 0
    assert [line.partition("=")[0] for line in (repository / "output").read_text().splitlines()] == [
        "trains",
        "tests",
        "promotion",
        "environments",
    ]


def test_an_environment_that_was_removed_is_not_checked_any_more(repository):
    for environment in ("staging", "preview"):
        place = repository / f"gitops/envs/{environment}/release/kustomization.yaml"
        place.parent.mkdir(parents=True)
        place.write_text("x\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "Two environments")
    git(repository, "rm", "-q", "-r", "gitops/envs/preview")
    (repository / "gitops/envs/staging/release/kustomization.yaml").write_text("y\n")
    git(repository, "commit", "-q", "-a", "-m", "One of them goes, the other moves")
    assert changes.main(["--since", "HEAD~1"]) == 0
    assert 'environments=["staging"]' in (repository / "output").read_text().splitlines()
