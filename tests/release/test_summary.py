"""Reports for those who look at a run: summary, annotations on the line that decides, one comment."""

import ast
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

from contracts import report as reports
from contracts.report import Check, Report
from release import annotations, summary
from release.git import Git
from release.git_forge import GitForge
from tests.release.hosted import Hosted
from tests.release.workshop import ROOT, release

GOOD = Check(gate="loadtest", name="p50 latency, ms", status="pass", value=4.0, threshold=20)
SLOW = Check(
    gate="loadtest", name="p99 latency, ms", status="fail", value=250.0, threshold=100, detail="look at the stages"
)
FEW = Check(gate="loadtest", name="answers per second", status="fail", value=80.0, threshold=100)
MOVED = Check(gate="drift", name="inputs", status="warn", value=0.4, threshold=0.25, blocking=False)
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def folder(tmp_path):
    def write(*checks, title="Load test of rainy-days", stem="loadtest", sub=""):
        report = Report(title=title, subject=DIGEST, created_at="2026-01-02T03:04:05Z", checks=checks)
        reports.write(report, tmp_path / "reports" / sub, stem)
        return tmp_path / "reports"

    return write


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """As on a runner of GitHub's."""
    place = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    return place


@pytest.fixture(autouse=True)
def at_home(monkeypatch):
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS", "GITHUB_TOKEN", "GITHUB_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)


BUDGETS = """\
# service: {throughput_rps: 1}
service:
  latency_p99_ms: 100   # line 3
  throughput_rps: 200   # line 4

drift: {psi: 0.25}      # line 6
environments:
  staging:
    service: {throughput_rps: 100}   # line 9
  production: {}
"""


@pytest.fixture
def root(tmp_path):
    place = tmp_path / "config" / annotations.BUDGETS
    place.parent.mkdir(parents=True)
    place.write_text(BUDGETS)
    return tmp_path / "config"


@pytest.fixture
def summarise(root):
    def summarise(folder, *words):
        return release("summarise", "--reports", str(folder), *words, "--repository", str(root), "--local")

    return summarise


def test_on_a_laptop_it_is_printed_without_what_passed(folder, summarise):
    outcome = summarise(folder(GOOD, SLOW, MOVED))
    assert outcome.code == 0
    assert "❌ | loadtest | p99 latency, ms | 250 | 100 | look at the stages |" in outcome.output
    assert "⚠️ | drift | inputs (advice) | 0.4 | 0.25 |" in outcome.output
    assert "p50" not in outcome.output
    assert "::error" not in outcome.output


def test_on_a_runner_it_joins_the_job_s_summary(folder, runner, summarise):
    runner.write_text("# What was there before\n")
    outcome = summarise(folder(GOOD, SLOW))
    text = runner.read_text()
    assert text.startswith("# What was there before\n## ❌ Refused\n")
    assert "<summary>Load test of rainy-days: all 2 checks</summary>" in text
    assert "| ✅ | loadtest | p50 latency, ms | 4 | 20 |" in text
    assert outcome.output.startswith("::error ")


def test_a_broken_budget_is_shown_on_its_line(folder, runner, summarise):
    outcome = summarise(folder(SLOW))
    assert outcome.output == (
        "::error file=conf/base/budgets.yml,line=3,title=loadtest%3A p99 latency%2C ms::"
        "fail: 250, wanted 100. look at the stages\n"
    )


def test_what_an_environment_says_itself_is_shown_there(folder, runner, summarise):
    place = folder(FEW, SLOW)
    few, slow = summarise(place, "staging").output.splitlines()
    assert "line=9," in few
    assert "line=3," in slow
    assert "line=4," in summarise(place, "production").output


def test_advice_is_a_warning(folder, runner, summarise):
    assert summarise(folder(MOVED)).output.startswith("::warning file=conf/base/budgets.yml,line=6,")


def test_a_check_that_no_config_decides_has_no_line(folder, runner, summarise):
    foreign = Check(gate="golden rows", name="answers are reproduced", status="fail", detail="row 3")
    assert summarise(folder(foreign)).output == "::error title=golden rows%3A answers are reproduced::fail. row 3\n"


def test_a_detail_begins_no_command_of_its_own(folder, runner, summarise):
    hostile = Check(gate="x,y::z", name="n", status="fail", detail="a\n::set-output name=x::y\r\n%0A::stop")
    output = summarise(folder(hostile)).output
    assert len(output.splitlines()) == 1
    assert output.startswith("::error title=x%2Cy%3A%3Az%3A n::")


def test_as_many_are_annotated_as_are_shown(folder, runner, summarise):
    many = [Check(gate="g", name=f"n{number}", status="fail") for number in range(30)]
    assert len(summarise(folder(*many, MOVED)).output.splitlines()) == 11


def test_a_table_s_cell_stays_one(folder, summarise):
    hostile = Check(gate="g", name="n", status="fail", detail="a | b\n| c")
    assert "| ❌ | g | n |  |  | a \\| b \\| c |" in summarise(folder(hostile)).output


def test_the_exit_code_is_the_verdict_only_when_asked(folder, summarise):
    place = folder(SLOW)
    assert (summarise(place).code, summarise(place, "--verdict").code) == (0, 1)
    assert summarise(folder(GOOD), "--verdict").code == 0


def test_reports_of_several_folders_are_one_summary(folder, tmp_path, summarise):
    folder(GOOD, sub="one")
    place = folder(SLOW, title="Gates", stem="gates", sub="two")
    (place / "two" / "other.json").write_text('{"not": "a report"}')
    output = summarise(place).output
    assert "| ✅ | Load test of rainy-days | 1 |" in output
    assert "| ❌ | Gates | 1 | 1 |" in output


def test_without_a_report_it_is_one_line(tmp_path, summarise):
    outcome = summarise(tmp_path)
    assert (outcome.code, outcome.error.count("\n")) == (2, 1)


def test_plain_git_says_that_it_has_no_comments(folder, alone):
    outcome = alone.run("summarise", "--reports", str(folder(GOOD)), "--pull-request", "7")
    assert outcome.code == 0
    assert "plain git has no comments" in outcome.output


def test_the_one_comment_is_put_right_in_place(folder, alone):
    forge = Hosted(GitForge(Git.at(alone.path)))
    for checks in ((SLOW,), (GOOD,)):
        summary.comment(forge, 7, summary.read([folder(*checks)]))
    ((place, text),) = forge.comments.items()
    assert place == (7, summary.MARKER)
    assert "Everything lets it through" in text


def test_a_comment_fits(folder, alone):
    forge = Hosted(GitForge(Git.at(alone.path)))
    many = [Check(gate="g", name=f"n{number}", status="fail", detail="d" * 200) for number in range(900)]
    summary.comment(forge, 7, summary.read([folder(*many)]))
    (text,) = forge.comments.values()
    assert len(text) < 65_536


def constants(room):
    """Every text in a room's modules; of an f-string, a pattern."""
    for file in sorted((ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(each.value if isinstance(each, ast.Constant) else "x" for each in node.values)


def test_every_check_that_is_listed_is_made_somewhere():
    known = {*constants("pipelines/validation"), *constants("loadtests")}
    for gate, name in annotations.DECIDED_BY:
        assert gate in known, gate
        assert any(fnmatchcase(text, name) for text in known), name


def test_every_key_that_is_listed_stands_in_its_file():
    for file, key in annotations.DECIDED_BY.values():
        found = annotations.line_of(ROOT / file, key)
        assert found, key
        text = (ROOT / file).read_text().splitlines()[found - 1]
        assert re.match(rf"\s*{key.rpartition('.')[2]}:", text), (key, text)


def test_a_line_is_that_of_the_key_whatever_stands_around_it(tmp_path):
    place = Path(tmp_path / "budgets.yml")
    place.write_text("# service: {floor: 1}\nservice:\n\n  # floor: 3\n  'floor': 2\nenvironments: {staging: {}}\n")
    assert yaml.safe_load(place.read_text())["service"] == {"floor": 2}
    assert annotations.line_of(place, "service.floor", "staging") == 5
    assert annotations.line_of(place, "service.ceiling") == 0
    assert annotations.line_of(tmp_path / "nothing.yml", "service.floor") == 0
