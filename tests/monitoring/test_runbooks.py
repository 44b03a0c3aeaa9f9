"""Every alert says how bad it is, whose it is and what to do; every page of docs/runbooks is some alert's."""

import re

import pytest

from bench.monitoring import rendered
from tests.gitops.manifests import ROOT

FOLDER = ROOT / "docs" / "runbooks"
HEADINGS = ["## Look here", "## Do this", "## Roll back"]
NAMES = sorted({rule["alert"] for rule in rendered.read("production").alerts})


def page(rule):
    return ROOT / rule["annotations"]["runbook_url"].partition("/blob/")[2].partition("/")[2]


def test_every_alert_has_a_severity_an_owner_and_a_page(seen):
    for rule in seen.alerts:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["labels"]["owner"]
        assert rule["labels"]["namespace"] == seen.namespace
        assert rule["annotations"]["runbook_url"].startswith("https://")
        assert page(rule).is_file(), rule["alert"]


def test_a_summary_is_one_line_that_names_the_environment(seen):
    for rule in seen.alerts:
        summary = rule["annotations"]["summary"]
        assert summary.startswith(f"{seen.namespace}: ")
        assert "\n" not in summary
        assert len(summary.removeprefix(seen.namespace)) < 130


def test_no_page_is_left_without_its_alert(production):
    assert set(FOLDER.glob("*.md")) == {page(rule) for rule in production.alerts}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_what_it_means_where_to_look_what_to_do_and_how_to_go_back(production, name):
    rules = [rule for rule in production.alerts if rule["alert"] == name]
    text = page(rules[0]).read_text()
    title, meaning, *_ = text.split("\n\n")
    assert title == f"# {name}"
    assert all(f"**{rule['labels']['severity']}**" in meaning for rule in rules)
    assert [line for line in text.splitlines() if line.startswith("## ")] == HEADINGS
    assert all(part.strip() for part in re.split(r"^## .*$", text, flags=re.M))
    assert len(text.splitlines()) < 40  # it is read at night


@pytest.mark.parametrize("name", NAMES)
def test_a_page_names_panels_and_budgets_that_there_are(production, name):
    text = next(page(rule) for rule in production.alerts if rule["alert"] == name).read_text()
    titles = {panel["title"] for board in production.dashboards.values() for panel in board["panels"]}
    quoted = set(re.findall(r'"([A-Z][^"]+)"', text))
    assert quoted - titles <= {"A shadow"}
    for board in re.findall(r"[Dd]ashboard \*(\w+)\*", text):
        assert f"{production.namespace}-{board}" in production.dashboards


def test_the_overview_lists_every_alert(production):
    text = (ROOT / "docs" / "monitoring.md").read_text()
    for rule in production.alerts:
        assert f"[{rule['alert']}](runbooks/{page(rule).name})" in text
