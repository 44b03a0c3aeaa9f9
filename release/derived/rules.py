"""Recording rules and alerts as data."""

import re

from msgspec import Struct

PAGE, TICKET = "page", "ticket"  # wake somebody now; open an issue
SETTLING = "15m"  # what a deployment or a burst may take without anybody being told
RUNBOOKS = "docs/runbooks"


class Record(Struct, frozen=True):
    """A recording rule."""

    name: str
    expression: str
    labels: dict[str, str] = {}

    def document(self) -> dict[str, object]:
        """As Prometheus reads it."""
        return {"record": self.name, "expr": self.expression, **({"labels": self.labels} if self.labels else {})}


class Alert(Struct, frozen=True, kw_only=True):
    """An alert. `summary` is one line for a phone, `description` what the figures mean."""

    name: str
    expression: str
    severity: str
    summary: str
    description: str
    hold: str = ""  # how long it must be so
    labels: dict[str, str] = {}

    @property
    def runbook(self) -> str:
        """Its page, as a path from the repository's root."""
        return f"{RUNBOOKS}/{re.sub(r'(?<!^)(?=[A-Z])', '-', self.name).lower()}.md"

    def document(self, owner: str, environment: str, namespace: str, pages: str) -> dict[str, object]:
        """As Prometheus reads it; `pages` is the address under which the repository's files can be read."""
        return {
            "alert": self.name,
            "expr": self.expression,
            **({"for": self.hold} if self.hold else {}),
            "labels": {
                "severity": self.severity,
                "owner": owner,
                "environment": environment,
                "namespace": namespace,
                **self.labels,
            },
            "annotations": {
                "summary": f"{namespace}: {self.summary}",
                "description": self.description,
                "runbook_url": f"{pages}/{self.runbook}",
            },
        }


class Group(Struct, frozen=True):
    """Rules that are evaluated together, in this order."""

    name: str
    interval: str
    rules: tuple[Record | Alert, ...]
