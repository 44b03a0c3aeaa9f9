"""The verdict: one report, refusals first, and one line where a run has to stop."""

import re
from pathlib import Path

import numpy as np
import pytest

from contracts import report
from contracts.bundle import Bundle
from contracts.errors import InputError
from contracts.report import Check
from pipelines.validation import figures, verdict
from tests import bundles

GOOD = Check(gate="schema", name="inputs", status="pass")
ADVICE = Check(gate="drift", name="inputs", status="warn", blocking=False)
BAD = Check(
    gate="quality",
    name="auc reaches the floor",
    status="fail",
    value=0.5,
    threshold=0.7,
    detail="no better than a coin",
)
SILENT = Check(gate="deepchecks", name="suite", status="not_run", detail="no such interpreter")


def test_what_refuses_comes_first(model: Bundle) -> None:
    gates = verdict.report(model, [GOOD, ADVICE, BAD, SILENT], [], {})
    assert [check.name for check in gates.checks[:2]] == ["auc reaches the floor", "suite"]
    assert gates.subject == model.digest


def test_passed_gates_let_the_run_go_on(model: Bundle) -> None:
    verdict.require_passed(verdict.report(model, [GOOD, ADVICE], [], {}))


@pytest.mark.parametrize("checks", [[GOOD, BAD], [GOOD, SILENT], []])
def test_a_refusal_is_one_line_that_names_check_and_report(model: Bundle, checks: list[Check]) -> None:
    with pytest.raises(InputError) as refused:
        verdict.require_passed(verdict.report(model, checks, [], {}))
    line = str(refused.value)
    assert "\n" not in line
    assert f"data/reports/{model.short_digest}/gates.html" in line
    assert all(check.name in line for check in checks if check.refused)


def test_a_report_about_another_bundle_is_not_accepted(model: Bundle, tmp_path: Path) -> None:
    other = bundles.write(tmp_path, shift=1.0)
    with pytest.raises(InputError, match="run its gates"):
        verdict.require_about(verdict.report(other, [GOOD], [], {}), model)


def test_figures_are_the_same_bytes_for_the_same_numbers_and_escaped() -> None:
    rows = [figures.Row(name="<b>", value=0.5, lower=0.4, upper=0.6), figures.Row(name="c", value=0.1)]
    picture = figures.forest(rows, "auc", 0.3)
    assert picture == figures.forest(rows, "auc", 0.3)
    assert "<b>" not in picture
    assert "&lt;b&gt;" in picture


def test_everything_drawn_lies_within_the_picture() -> None:
    rows = [
        figures.Row(name="a name that is longer than its place", value=-0.5, lower=-1.5, upper=2),
        figures.Row(name="b", value=3),
    ]
    weeks = [f"01-{day:02}" for day in range(1, 29)]
    days = [float(day) if day % 7 else float("nan") for day in range(28)]
    pictures = (
        figures.forest(rows, "auc", 0.3),
        figures.timeline(weeks, {"candidate": days, "champion": [1.0] * 28}, "auc"),
        figures.reliability(np.linspace(0, 1, 10), np.linspace(0.2, 0.7, 10), "predicted"),
        figures.forest([figures.Row(name="alone", value=0.0)], "auc"),
    )
    for picture in pictures:
        width, height = map(float, re.search(r'viewBox="0 0 (\d+) (\d+)"', picture).groups())
        for axis, number in re.findall(r'\bc?([xy])[12]?="([-\d.]+)"', picture):
            assert 0 <= float(number) <= (width if axis == "x" else height)


def test_the_report_is_written_in_all_forms_with_its_figures(model: Bundle, tmp_path: Path) -> None:
    figure = report.Figure(title="auc by segment", svg=figures.forest([figures.Row(name="a", value=0.5)], "auc"))
    paths = report.write(verdict.report(model, [GOOD, BAD], [figure], {"seed": "1"}), tmp_path, "gates")
    assert "<svg" in paths["html"].read_text()
    assert "no better than a coin" in paths["md"].read_text()
    assert report.load(paths["json"]).refusals == (BAD,)
