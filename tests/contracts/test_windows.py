"""When nothing new goes out: freezes and quiet hours, in the time zone of those who would have to get up."""

import datetime as dt
import re
import zoneinfo

import msgspec
import pytest

from contracts import budgets
from contracts.windows import Release

NOTHING = {"timezone": "UTC", "freeze": [], "quiet_hours": [], "least_error_budget": 0.1}
HOLIDAYS = {"from": "2026-12-23", "to": "2027-01-02", "why": "holidays"}
EVENING = {"from": "2026-12-23T18:00", "to": "2026-12-23T19:30", "why": "a launch"}
FRIDAY = {"days": ["Fri"], "from": "16:00", "to": "24:00", "why": "weekend"}
NIGHT = {"days": ["Fri", "Sat"], "from": "22:00", "to": "06:00", "why": "night"}


def closed(moment: str, **section) -> tuple[str, ...]:
    release = msgspec.convert(NOTHING | section, Release)
    return release.closed(dt.datetime.fromisoformat(moment))


def test_nothing_is_closed_by_itself():
    assert closed("2026-12-25T12:00+00:00") == ()


@pytest.mark.parametrize(
    ("moment", "shut"),
    [
        ("2026-12-22T23:59+00:00", False),
        ("2026-12-23T00:00+00:00", True),
        ("2027-01-02T23:59+00:00", True),
        ("2027-01-03T00:00+00:00", False),
    ],
)
def test_a_freeze_includes_its_last_day(moment, shut):
    assert bool(closed(moment, freeze=[HOLIDAYS])) is shut


@pytest.mark.parametrize(("moment", "shut"), [("17:59", False), ("18:00", True), ("19:29", True), ("19:30", False)])
def test_a_freeze_by_the_hour_ends_at_the_hour(moment, shut):
    assert bool(closed(f"2026-12-23T{moment}+00:00", freeze=[EVENING])) is shut


def test_a_freeze_is_in_its_own_time_zone():
    begins = "2026-12-22T23:00+00:00"  # midnight in Berlin
    assert closed(begins, freeze=[HOLIDAYS]) == ()
    assert closed(begins, freeze=[HOLIDAYS], timezone="Europe/Berlin")


def test_a_moment_that_names_its_zone_keeps_it():
    utc = {"from": "2026-12-23T00:00+00:00", "to": "2026-12-24T00:00+00:00", "why": "x"}
    assert closed("2026-12-22T23:30+00:00", freeze=[utc], timezone="Europe/Berlin") == ()


@pytest.mark.parametrize(
    ("moment", "shut"),
    [
        ("2026-11-27T15:59+00:00", False),
        ("2026-11-27T16:00+00:00", True),
        ("2026-11-27T23:59+00:00", True),
        ("2026-11-28T00:00+00:00", False),
        ("2026-11-26T17:00+00:00", False),
    ],
)
def test_quiet_hours_come_every_week(moment, shut):
    assert bool(closed(moment, quiet_hours=[FRIDAY])) is shut


@pytest.mark.parametrize(
    ("moment", "shut"),
    [
        ("2026-11-27T05:00+00:00", False),  # the night from Thursday
        ("2026-11-27T22:00+00:00", True),
        ("2026-11-28T05:59+00:00", True),
        ("2026-11-29T05:59+00:00", True),
        ("2026-11-29T06:00+00:00", False),
        ("2026-11-29T22:00+00:00", False),
    ],
)
def test_quiet_hours_may_go_on_after_midnight(moment, shut):
    assert bool(closed(moment, quiet_hours=[NIGHT])) is shut


def test_quiet_hours_follow_the_clock_through_summer_time():
    berlin = {"timezone": "Europe/Berlin", "quiet_hours": [FRIDAY]}
    assert closed("2026-07-03T14:00+00:00", **berlin)  # 16:00 there
    assert not closed("2026-11-27T14:00+00:00", **berlin)  # 15:00 there
    assert closed("2026-11-27T15:00+00:00", **berlin)


def test_what_speaks_against_it_is_said_with_its_reason():
    assert closed("2026-12-25T17:00+00:00", freeze=[HOLIDAYS], quiet_hours=[FRIDAY]) == (
        "frozen from 2026-12-23 to 2027-01-02: holidays",
        "quiet hours, Fri 16:00 to 24:00: weekend",
    )


def test_a_date_is_written_without_quotes(root, tmp_path):
    text = (root / "conf/base/budgets.yml").read_text()
    freeze = "[{from: 2026-12-23, to: 2027-01-02T18:00:00Z, why: holidays}]"
    said = f"release: {{timezone: UTC, freeze: {freeze}, quiet_hours: [], least_error_budget: 0.1}}"
    (tmp_path / "budgets.yml").write_text(re.sub(r"^release:.*?(?=^\S)", f"{said}\n\n", text, flags=re.M | re.S))
    (freeze,) = budgets.load(tmp_path / "budgets.yml").release.freeze
    assert (freeze.begin, freeze.end) == ("2026-12-23", "2027-01-02T18:00:00Z")


def test_utc_is_known_where_no_time_zones_are_installed(monkeypatch):
    def missing(name):
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", missing)
    assert closed("2026-12-25T12:00+00:00", freeze=[HOLIDAYS])
