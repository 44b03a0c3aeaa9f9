"""A generated repository is one that works: its linters are content and its tests pass, with the same environments."""

import os
import subprocess

import pytest

from tests.template.trees import OTHER, committed, git

# The longest names the questions take: they move line ends, and what is as wide as a name allows is seen here.
LONG = {
    "model_name": "Quarterly Churn Risk of Small Business Customers (EMEA) 2.0",
    "repo_slug": "quarterly-churn-risk-of-small-businesses",
    "github_owner": "Example-Bank-Data-Science-Platform-Team",
    "image": "europe-west3-docker.pkg.dev/example-bank-data-science/models/quarterly-churn-risk",
    "owner_team": "retention-and-growth-analytics",
}
SHORT = {"model_name": "a", "repo_slug": "a", "github_owner": "b", "image": "c.io/d", "owner_team": "e"}
# Where the identity stands: documents, imports, manifests. The whole suite runs in the slow test.
QUICK = (
    *(f"tests/architecture/test_{name}.py" for name in ("documents", "house", "imports")),
    *(
        "tests/gitops",
        "tests/argo",
        "--deselect=tests/argo/test_manifests.py::test_another_process_compiles_the_same_bytes",
    ),
)


@pytest.fixture
def run(environments):
    """Runs a command in a generated repository; its exit code and what it said."""
    names = {"train": "VENV", "serve": "VENV_SERVE", "validate": "VENV_VALIDATE", "clients": "VENV_CLIENTS"}
    shared = {names[name]: str(python.parents[1]) for name, python in environments.items()}
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "MAKE", "MFLAGS"))}

    def run(folder, *command, seconds=300):
        done = subprocess.run(
            command,
            cwd=folder,
            env={**environment, **shared},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def passes(outcome):
    code, said = outcome
    if code:
        pytest.fail(said[-8000:], pytrace=False)


def pytest_in(environments, *arguments):
    return (str(environments["train"]), "-m", "pytest", "-q", "-m", "not slow and not cluster", *arguments)


def test_its_linters_are_content_whatever_the_names(generate, run):
    repository = committed(generate(**LONG))
    passes(run(repository, "make", "lint"))
    assert git(repository, "status", "--porcelain") == ""


def test_its_quick_tests_pass(generate, run, environments):
    repository = committed(generate(**OTHER))
    passes(run(repository, *pytest_in(environments, *QUICK)))
    assert git(repository, "status", "--porcelain") == ""


def test_make_new_in_it_says_that_it_is_no_template(generate, run):
    repository = generate(**OTHER)
    code, said = run(repository, "make", "new", "NAME=Another")
    assert code
    assert "make new: this repository was generated itself; run it in the template" in said


@pytest.mark.slow
def test_its_linters_are_content_with_the_shortest_names(generate, run):
    passes(run(committed(generate(**SHORT)), "make", "lint"))


@pytest.mark.slow
def test_all_its_fast_tests_pass(generate, run, environments):
    repository = committed(generate(**LONG))
    passes(run(repository, *pytest_in(environments), seconds=1500))
    assert git(repository, "status", "--porcelain") == ""
