"""A wrong answer is refused with one line that says which and why, before anything is written."""

import json
import subprocess
import sys

import pytest

from hooks.answers import refusal
from tests.template.trees import OTHER, SPEC

WRONG = [
    ("model_name", "", "1 to 60"),
    ("model_name", "3D Printing", "begin with a letter"),
    ("model_name", "Churn: Risk", "':'"),
    ("model_name", 'Churn "Risk"', "may not hold '\"'"),
    ("model_name", "Churn\nRisk", "may not hold '\\n'"),
    ("model_name", "Churn {{ 7 * 7 }}", "may not hold '{'"),
    ("model_name", "Churn  Risk", "a blank too many"),
    ("model_name", "Off", "YAML"),
    ("repo_slug", "", "1 to 40"),
    ("repo_slug", "x" * 41, "41 characters"),
    ("repo_slug", "churn_risk", "DNS-1035"),
    ("repo_slug", "1churn", "beginning with a letter"),
    ("repo_slug", "churn-", "DNS-1035"),
    ("repo_slug", "deep/er/churn", "DNS-1035"),
    ("repo_slug", "../churn", "DNS-1035"),
    ("repo_slug", "yes", "YAML"),
    ("github_owner", "", "1 to 39"),
    ("github_owner", "example--bank", "single inner hyphens"),
    ("github_owner", "-bank", "GitHub name"),
    ("github_owner", "bank/risk", "GitHub name"),
    ("image", "churn", "registry's host"),
    ("image", "library/churn", "registry's host"),
    ("image", "ghcr.io/Bank/churn", "'Bank/churn'"),
    ("image", "ghcr.io/bank/churn:1", "without tag"),
    ("image", "ghcr.io/bank/churn@sha256:00", "without tag"),
    ("image", "-x.io/bank", "no valid host"),
    ("image", "ghcr.io/" + "a" * 250, "258 characters"),
    ("owner_team", "Retention", "team's slug"),
    ("owner_team", "x" * 64, "64 characters"),
    ("owner_team", "null", "YAML"),
]
RIGHT = [
    ("model_name", "a"),
    ("model_name", "Z" * 60),
    ("model_name", "Köln Ärger"),
    ("model_name", "Ko\u0308ln"),
    ("model_name", "विलंब दर"),
    ("model_name", "Churn (EU) 2.0 - C++"),
    ("repo_slug", "x" * 40),
    ("repo_slug", "a--b"),
    ("github_owner", "7"),
    ("github_owner", "octo-cat_bank"),
    ("image", "localhost:5000/churn"),
    ("image", "europe-docker.pkg.dev/bank/models/churn__risk"),
    ("owner_team", "retention-2"),
]


@pytest.mark.parametrize(("question", "answer", "why"), WRONG)
def test_a_wrong_answer_is_named_with_its_reason(question, answer, why):
    line = refusal({**OTHER, question: answer})
    assert line is not None
    assert line.startswith(f"{question}: {answer!r}")
    assert why in line
    assert "\n" not in line


@pytest.mark.parametrize(("question", "answer"), RIGHT)
def test_a_right_answer_is_taken(question, answer):
    assert refusal({**OTHER, question: answer}) is None


def test_the_default_answers_are_right():
    assert refusal(SPEC["_reference"]) is None


@pytest.mark.parametrize("slug", ["deep/er/churn", "../churn", "churn_risk"])
def test_cookiecutter_stops_with_that_one_line_and_nothing_is_written(tmp_path, template, slug):
    place = tmp_path / "empty"
    place.mkdir()
    command = [sys.executable, "-m", "cookiecutter", str(template), "--no-input", f"repo_slug={slug}", "-o", "empty"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [refusal({**OTHER, "repo_slug": slug})]
    assert list(tmp_path.rglob("*")) == [place]


def test_a_replayed_answer_meets_the_same_rules_in_the_hook(tmp_path, template):
    answers = {**SPEC, **OTHER, "owner_team": "null", "__checked": "yes", "_checkout": None}
    (tmp_path / "replay.json").write_text(json.dumps({"cookiecutter": answers}))
    command = [sys.executable, "-m", "cookiecutter", str(template), "--replay-file", "replay.json", "-o", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == refusal({**OTHER, "owner_team": "null"})
    assert not list((tmp_path / "out").glob("*"))


def new(template, *arguments):
    return subprocess.run([sys.executable, "-m", "hooks.new", *arguments], cwd=template, capture_output=True, text=True)


def test_make_new_says_where_the_repository_is_and_what_to_do_next(tmp_path, template):
    done = new(template, "--name", "Churn Risk", "--owner", "bank", "--output", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"cd {tmp_path / 'churn-risk'}" in done.stdout
    assert "make demo" in done.stdout
    assert (tmp_path / "churn-risk" / "Makefile").is_file()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--name", "Off"], "make new: model_name: 'Off' is a word that YAML reads as 'off', not as text"),
        (["--slug", "churn"], "make new: NAME: is missing; give NAME=... with the other answers, or none to be asked"),
    ],
)
def test_make_new_refuses_with_one_line(tmp_path, template, arguments, line):
    done = new(template, *arguments, "--output", str(tmp_path / "out"))
    assert (done.returncode, done.stderr.splitlines()) == (2, [line])
    assert not (tmp_path / "out").exists()
