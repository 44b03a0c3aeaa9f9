"""What a report is made of: checks, figures, and the verdict that follows from them."""

from typing import Literal

from msgspec import Struct

FORMAT = 1
Status = Literal["pass", "warn", "fail", "not_run"]


class Check(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question and its answer.

    `gate` groups checks (schema, leakage, quality ...); `value` is what was measured, `threshold` what it was held
    against, `detail` one sentence for the person who has to act.
    """

    gate: str
    name: str
    status: Status
    value: float | str | None = None
    threshold: float | str | None = None
    detail: str = ""
    blocking: bool = True

    @property
    def refused(self) -> bool:
        return self.blocking and self.status in ("fail", "not_run")


class Figure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A picture for the HTML page, as inline SVG."""

    title: str
    svg: str
    caption: str = ""


class Report(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Checks about one subject (a bundle digest, or empty where there is none)."""

    format: int = FORMAT
    title: str
    subject: str = ""
    created_at: str = ""
    checks: tuple[Check, ...]
    facts: dict[str, str] = {}
    figures: tuple[Figure, ...] = ()

    @property
    def passed(self) -> bool:
        """True when there is a check and no blocking one failed or did not run."""
        return bool(self.checks) and not any(check.refused for check in self.checks)

    @property
    def refusals(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.refused)
