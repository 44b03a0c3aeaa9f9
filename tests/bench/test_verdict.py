import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.serving import chart, page, plan, targets, terminal
from bench.serving.machine import Machine
from bench.serving.medians import Table
from bench.serving.rounds import CPU, MEMORY, P50, P99, P99_ALL, RATE, SERVER, START, Left, Measured

MACHINE = Machine("2027-01-01", "a processor", 2, "Linux 6", 0.1, {"mlserver": "1"}, {"ours": 150.0})


def measured(rates: dict[str, list[float]], scenario: str = "tensor", cell: str = "c64") -> list[Measured]:
    return [
        Measured(scenario, cell, server, RATE, number, value)
        for server, values in rates.items()
        for number, value in enumerate(values, 1)
    ]


def test_a_ratio_is_taken_within_each_round() -> None:
    table = Table(measured({"ours": [10, 40, 90], "mlserver": [1, 2, 3]}))
    ratio = table.ratio("tensor", RATE, ("c64", "ours"), ("c64", "mlserver"))
    assert ratio is not None
    assert (ratio.median, ratio.lowest, ratio.highest) == (20, 10, 30)  # the ratio of the medians is 20 by chance only


def test_a_round_in_which_one_is_missing_does_not_count() -> None:
    found = [
        each
        for each in measured({"ours": [10, 40], "mlserver": [1, 2]})
        if (each.server, each.round) != ("mlserver", 1)
    ]
    ratio = Table(found).ratio("tensor", RATE, ("c64", "ours"), ("c64", "mlserver"))
    assert ratio is not None
    assert (ratio.median, ratio.rounds) == (20, 1)


def test_binary_tensors_are_held_against_mlserver_s_json() -> None:
    table = Table(measured({"ours": [300]}, cell="binary32") + measured({"mlserver": [20]}, cell="json32"))
    times = table.times_anchor("tensor", "binary32", "ours")
    assert times is not None
    assert times.median == 15


@pytest.mark.parametrize(("ours", "met"), [(2000.0, True), (1999.0, False)])
def test_a_target_is_met_by_the_median_or_missed(ours: float, met: bool) -> None:
    verdicts = targets.verdicts(Table(measured({"ours": [ours] * 3, "mlserver": [100] * 3})), None)
    assert verdicts[0].met is met
    assert targets.hold(verdicts, whole=False) is met


def test_what_was_not_measured_fails_a_whole_measurement_only() -> None:
    verdicts = targets.verdicts(Table([]), 150.0)
    assert {verdict.met for verdict in verdicts} == {None, True}
    assert targets.hold(verdicts, whole=False)
    assert not targets.hold(verdicts, whole=True)


def test_every_target_is_about_something_that_is_measured() -> None:
    scenarios = {scenario.name: scenario for scenario in plan.SCENARIOS}
    for target in targets.TARGETS:
        for cell, server in ((target.cell, "ours"), *([target.to] if target.to else [])):
            cells = {cell.name for cell in scenarios[target.scenario].contestants[server]} | {SERVER}
            assert cell in cells, target.title


def test_cells_and_contestants_are_chosen_by_name() -> None:
    chosen = plan.chosen(["ours", "floor"], ["tensor:c*", "heavy:c1"], None)
    assert [scenario.name for scenario in chosen] == ["tensor", "heavy"]
    assert [cell.name for cell in chosen[0].contestants["floor"]] == ["c64", "c1"]
    assert list(chosen[1].contestants) == ["ours"]


def test_without_a_bundle_the_columns_are_left_out() -> None:
    assert "columns" not in {scenario.name for scenario in plan.chosen([], [], None)}
    assert "columns" in {scenario.name for scenario in plan.chosen([], [], Path("bundle"))}


@pytest.fixture
def table() -> Table:
    found = []
    for scenario in plan.SCENARIOS:
        for server, cells in scenario.contestants.items():
            found += [Measured(scenario.name, SERVER, server, metric, 1, 0.3) for metric in (START, MEMORY)]
            for cell in cells:
                for number in (1, 2, 3):
                    figures = {RATE: 1000.0 * number, P50: 100, P99: 200, P99_ALL: 300, CPU: 12}
                    found += [
                        Measured(scenario.name, cell.name, server, metric, number, value)
                        for metric, value in figures.items()
                    ]
    return Table(found)


def test_the_page_gets_tables_targets_and_what_was_left_out_between_its_marks(root: Path, table: Table) -> None:
    verdicts = targets.verdicts(table, 150.0)
    left = [Left("tensor", "kserve", "1 rows as json: off | by\n<1>")]
    body = page.body(table, list(plan.SCENARIOS), verdicts, left, MACHINE, {"rounds": 3, "seconds": 1})
    text = page.section((root / "docs/benchmarks.md").read_text(), body)
    assert "| 1 row, 64 connections, to MLServer | ≥ 20 × | 1.00 × (1.00 – 1.00) | **missed** |" in text
    assert "| this server | 2,000 (1.00 ×; 100%)" in text
    assert "- KServe SDK (tensor): 1 rows as json: off / by ‹1›" in text
    assert "Two workers" in text
    assert page.section(text, body) == text


def test_the_chart_is_one_svg_with_a_bar_for_each_figure(table: Table) -> None:
    picture = ET.fromstring(chart.draw(table, "measured <somewhere>"))
    bars = [each for each in picture.iter("{http://www.w3.org/2000/svg}rect") if each.get("rx")]
    assert len(bars) == sum(len(panel.servers) for panel in chart.PANELS) - 2  # KServe and MLflow have no fixed rate
    assert "measured <somewhere>" in "".join(picture.itertext())


@pytest.mark.parametrize(("value", "text"), [(0.123, "0.12"), (12.34, "12.3"), (1234.5, "1,234")])
def test_three_digits_count(value: float, text: str) -> None:
    assert terminal.digits(value) == text
