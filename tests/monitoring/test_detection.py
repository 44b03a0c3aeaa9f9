"""How soon somebody is called, as docs/monitoring.md says it."""

import re

import pytest

from bench.monitoring import detection
from bench.monitoring.detection import Case
from tests.gitops.manifests import ROOT

ROW = re.compile(r"^\| ([\d.]+) % \| ([\d.]+) \| ([\d.]+) min \|", re.M)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "hours"), [(1.0, 1), (0.1, 1), (0.02, 2)])
def test_a_page_comes_as_soon_as_the_table_says(needs, production, share, hours):
    needs("promtool")
    text = (ROOT / "docs" / "monitoring.md").read_text()
    written = {(float(percent) / 100, float(asked)): float(page) for percent, asked, page in ROW.findall(text)}
    found = detection.measure(production, Case(share, looked_hours=hours))
    assert found.page == pytest.approx(written[share, 100.0], abs=0.5)


def test_the_table_has_what_was_promised():
    text = (ROOT / "docs" / "monitoring.md").read_text()
    assert {(100.0, 100.0), (10.0, 100.0), (2.0, 100.0)} <= {(float(p), float(r)) for p, r, _ in ROW.findall(text)}
