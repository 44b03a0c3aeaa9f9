"""The report: every gate answers in one form, and a blocking check that did not run is a failure."""

import html.parser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import report
from contracts.errors import InputError
from contracts.report import Check, Figure, Report

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
CHECKS = st.builds(
    Check,
    gate=TEXT,
    name=TEXT,
    status=st.sampled_from(["pass", "warn", "fail", "not_run"]),
    value=st.none() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    threshold=st.none() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    detail=TEXT,
    blocking=st.booleans(),
)
REPORTS = st.builds(
    Report,
    title=TEXT,
    subject=TEXT,
    created_at=st.just("2026-01-02T03:04:05Z"),
    checks=st.lists(CHECKS, max_size=4).map(tuple),
    facts=st.dictionaries(TEXT, TEXT, max_size=3),
)


def check(status, blocking=True, **other):
    return Check(gate="quality", name="auc", status=status, blocking=blocking, **other)


@pytest.mark.parametrize(
    ("checks", "passed"),
    [
        ([], False),
        ([check("pass")], True),
        ([check("warn")], True),
        ([check("fail")], False),
        ([check("not_run")], False),
        ([check("pass"), check("not_run")], False),
        ([check("pass"), check("fail", blocking=False)], True),
        ([check("not_run", blocking=False)], True),
    ],
)
def test_it_passes_when_something_was_checked_and_nothing_blocking_is_open(checks, passed):
    assert Report(title="Gates", checks=tuple(checks)).passed is passed


@given(REPORTS)
def test_every_document_says_the_same(tmp_path_factory, written):
    paths = report.write(written, tmp_path_factory.mktemp("report"), "gates")
    assert report.load(paths["json"]) == written
    suite = ElementTree.fromstring(paths["xml"].read_bytes())
    assert len(suite.findall("testcase")) == len(written.checks) == int(suite.get("tests"))
    assert len(suite.findall("testcase/failure")) == len(written.refusals) == int(suite.get("failures"))
    assert len(suite.findall("testcase/skipped")) == int(suite.get("skipped"))
    rows = [line for line in paths["md"].read_text().split("\n") if line.startswith(("| ✅", "| ⚠️", "| ❌", "| ⏸️"))]
    assert len(rows) >= len(written.checks)
    page = Rows()
    page.feed(paths["html"].read_text())
    assert page.rows == len(written.checks) + 1
    assert not page.foreign


class Rows(html.parser.HTMLParser):
    """Counts table rows, and notes every tag that could run something or fetch something."""

    def __init__(self):
        super().__init__()
        self.rows, self.foreign = 0, []

    def handle_starttag(self, tag, attributes):
        self.rows += tag == "tr"
        if tag in {"script", "iframe", "img", "link", "object"} or any(name.startswith("on") for name, _ in attributes):
            self.foreign.append(tag)


def test_a_value_of_the_data_is_text_in_every_document(tmp_path):
    hostile = "<script>alert(1)</script> | a\nb \x00 & 'c' \"d\""
    written = Report(title=hostile, subject=hostile, facts={hostile: hostile}, checks=(check("fail", detail=hostile),))
    paths = report.write(written, tmp_path, "gates")
    page = Rows()
    page.feed(paths["html"].read_text())
    assert page.foreign == []
    assert (
        ElementTree.fromstring(paths["xml"].read_bytes()).find("testcase/failure").get("message").startswith("<script>")
    )
    (row,) = [line for line in paths["md"].read_text().splitlines() if line.startswith("| ❌")]
    assert row.count(" | ") == 6 - 1  # six cells: nothing in a value opens another one


def test_a_figure_stands_in_the_page_with_its_caption(tmp_path):
    drawing = Figure(title="Calibration <1>", svg="<svg><path d='M0 0'/></svg>", caption="as & is")
    page = report.write(Report(title="Gates", checks=(check("pass"),), figures=(drawing,)), tmp_path, "gates")["html"]
    assert "<h2>Calibration &lt;1&gt;</h2>" in page.read_text()
    assert "<svg><path d='M0 0'/></svg><figcaption>as &amp; is</figcaption>" in page.read_text()


def test_advice_is_marked_as_such(tmp_path):
    paths = report.write(Report(title="Gates", checks=(check("fail", blocking=False),)), tmp_path, "gates")
    assert "auc (advice)" in paths["md"].read_text()
    assert ElementTree.fromstring(paths["xml"].read_bytes()).get("failures") == "0"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"title": "t"', "Input data was truncated"),
        ('{"title": "t"}', "missing required field `checks`"),
        ('{"title": "t", "checks": [{"gate": "g", "name": "n", "status": "fine"}]}', "Invalid enum value 'fine'"),
        ('{"title": "t", "checks": [], "format": 2}', "format: is 2, this version reads 1"),
        ('{"title": "t", "checks": [], "verdict": "passed"}', "unknown field `verdict`"),
    ],
)
def test_what_is_not_a_report_is_refused_in_one_line(tmp_path, text, reason):
    (tmp_path / "gates.json").write_text(text)
    with pytest.raises(InputError, match=reason) as refused:
        report.load(tmp_path / "gates.json")
    assert str(refused.value).startswith(f"{tmp_path / 'gates.json'}: ")
    assert "\n" not in str(refused.value)


def test_a_missing_report_says_how_to_get_one(tmp_path):
    with pytest.raises(InputError, match="No such file or directory; run the gate that writes it"):
        report.load(tmp_path / "gates.json")
