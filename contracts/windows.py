"""When nothing new goes out: freezes, from one moment to another, and quiet hours, every week.

Moments are text, `2026-12-23` or `2026-12-23T18:00`, in the section's time zone unless they name their own; a freeze
that ends on a day includes that day. Quiet hours that end before they begin go on into the next day.
"""

import datetime as dt
import re
import zoneinfo
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
DAYS: tuple[Day, ...] = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
Why = Annotated[str, Meta(min_length=1, max_length=200)]
Hour = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]
DATE = re.compile(r"\d{4}-\d\d-\d\d")


class Freeze(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing new from one moment to another."""

    begin: str = msgspec.field(name="from")
    end: str = msgspec.field(name="to")
    why: Why

    def __post_init__(self) -> None:
        if _moment(self.end, dt.UTC, end=True) <= _moment(self.begin, dt.UTC):
            raise ValueError(f"to: {self.end} is not after {self.begin}")

    def covers(self, moment: dt.datetime, zone: dt.tzinfo) -> bool:
        return _moment(self.begin, zone) <= moment < _moment(self.end, zone, end=True)

    def __str__(self) -> str:
        return f"frozen from {self.begin} to {self.end}: {self.why}"


class QuietHours(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing new at these hours of these days."""

    days: Annotated[tuple[Day, ...], Meta(min_length=1)]
    begin: Hour = msgspec.field(name="from")
    end: Hour = msgspec.field(name="to")
    why: Why

    def covers(self, moment: dt.datetime, zone: dt.tzinfo) -> bool:
        local = moment.astimezone(zone)
        now, begin, end = local.strftime("%H:%M"), self.begin, self.end
        today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
        if begin < end:
            return today in self.days and begin <= now < end
        return (today in self.days and now >= begin) or (yesterday in self.days and now < end)

    def __str__(self) -> str:
        return f"quiet hours, {' '.join(self.days)} {self.begin} to {self.end}: {self.why}"


class Release(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When something new may go out, and how much of the error budget must be left for it."""

    timezone: str
    freeze: tuple[Freeze, ...]
    quiet_hours: tuple[QuietHours, ...]
    least_error_budget: Annotated[float, Meta(ge=0, lt=1)]

    def __post_init__(self) -> None:
        try:
            _ = self.zone
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"timezone: {self.timezone!r} is none that is known, as Europe/Berlin is") from error

    @property
    def zone(self) -> dt.tzinfo:
        return dt.UTC if self.timezone == "UTC" else zoneinfo.ZoneInfo(self.timezone)  # a small image knows no others

    def closed(self, moment: dt.datetime) -> tuple[str, ...]:
        """What speaks against a release at this moment, one line each."""
        windows: tuple[Freeze | QuietHours, ...] = (*self.freeze, *self.quiet_hours)
        return tuple(str(each) for each in windows if each.covers(moment, self.zone))


def _moment(text: str, zone: dt.tzinfo, end: bool = False) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no moment, as 2026-12-23 or 2026-12-23T18:00 is") from error
    if end and DATE.fullmatch(text):
        found += dt.timedelta(days=1)
    return found if found.tzinfo else found.replace(tzinfo=zone)
