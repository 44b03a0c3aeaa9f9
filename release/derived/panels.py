"""Grafana dashboards from typed parts: the same bytes for the same budgets.

Only what our dashboards use of Grafana's model. Panels flow in rows of 24 columns; ids are their places in that order.
"""

import json
from typing import Literal

from msgspec import Struct

from release.derived.promql import Scope

WINDOW = "$__rate_interval"  # Grafana's: at least four scrapes
CHOSEN = 'version=~"$version"'
BY_VERSION = "{{version}}"
COLUMNS = 24
SCHEMA = 39  # of Grafana 11; later ones migrate it when they load it
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Query(Struct, frozen=True):
    """What a panel asks, and how its series are named; `now` for the last value alone."""

    expression: str
    legend: str = ""
    now: bool = False


class Panel(Struct, frozen=True, kw_only=True):
    """One picture. `limit` is a figure from the budgets, drawn as a line; where `limit_is_low`, below it is bad."""

    title: str
    queries: tuple[Query, ...]
    about: str
    unit: str = "short"
    kind: Literal["timeseries", "stat", "bargauge", "table"] = "timeseries"
    width: int = 8
    height: int = 8
    limit: float | None = None
    limit_is_low: bool = False
    stacked: bool = False


class Row(Struct, frozen=True):
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


class Variable(Struct, frozen=True):
    """Values to choose from: those that `label` has in the series of `selector`."""

    name: str
    selector: str
    label: str


class Dashboard(Struct, frozen=True, kw_only=True):
    """One page."""

    name: str
    about: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()


def versions(scope: Scope) -> Variable:
    """The versions to choose from, for panels that show `CHOSEN` ones."""
    return Variable("version", scope.of("ml_model_info"), "version")


def text(dashboard: Dashboard, namespace: str, tags: tuple[str, ...]) -> str:
    """The dashboard as Grafana imports it."""
    return json.dumps(_document(dashboard, namespace, tags), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _document(dashboard: Dashboard, namespace: str, tags: tuple[str, ...]) -> dict[str, object]:
    source = {
        "label": "Prometheus",
        "name": "datasource",
        "query": "prometheus",
        "type": "datasource",
    }
    # No `uid`: it may have 40 characters, and what tells models and environments apart has more. Grafana gives one, and
    # finds a dashboard again by its file; dashboards find each other by tag.
    return {
        "annotations": {"list": []},
        "description": dashboard.about,
        "editable": False,
        "graphTooltip": 1,  # one crosshair in all panels
        "links": [{"asDropdown": True, "tags": [namespace], "title": "dashboards", "type": "dashboards"}],
        "panels": _panels(dashboard.rows),
        "refresh": "30s",
        "schemaVersion": SCHEMA,
        "tags": [*tags, namespace],
        "templating": {"list": [source, *map(_variable, dashboard.variables)]},
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "title": f"{namespace}: {dashboard.name}",
        "version": 1,
    }


def _variable(variable: Variable) -> dict[str, object]:
    query = f"label_values({variable.selector}, {variable.label})"
    return {
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "datasource": SOURCE,
        "definition": query,
        "includeAll": True,
        "multi": True,
        "name": variable.name,
        "query": {"qryType": 1, "query": query, "refId": variable.name},
        "refresh": 2,  # whenever the time range changes: versions come and go
        "sort": 1,
        "type": "query",
    }


def _panels(rows: tuple[Row, ...]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    top = 0
    for row in rows:
        heading = {"collapsed": False, "panels": [], "title": row.title, "type": "row"}
        found.append(_placed(heading, len(found) + 1, 0, top, COLUMNS, 1))
        left, top, tallest = 0, top + 1, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                left, top, tallest = 0, top + tallest, 0
            found.append(_placed(_panel(panel), len(found) + 1, left, top, panel.width, panel.height))
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    return found


def _placed(panel: dict[str, object], number: int, x: int, y: int, width: int, height: int) -> dict[str, object]:
    return panel | {"gridPos": {"h": height, "w": width, "x": x, "y": y}, "id": number}


def _panel(panel: Panel) -> dict[str, object]:
    defaults: dict[str, object] = {"unit": panel.unit, "min": 0} if panel.unit != "none" else {"unit": "none"}
    if panel.limit is not None:
        good, bad = ("red", "green") if panel.limit_is_low else ("green", "red")
        steps = [{"color": good, "value": None}, {"color": bad, "value": panel.limit}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.limit_is_low:
        del defaults["min"]  # a budget that is overdrawn is below zero
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "fillOpacity": 30 if panel.stacked else 8,
            "lineWidth": 1,
            "showPoints": "never",
            "stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "off" if panel.limit is None else "dashed"},
        }
    return {
        "datasource": SOURCE,
        "description": panel.about,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel.kind),
        "targets": [_target(number, query, panel.kind) for number, query in enumerate(panel.queries)],
        "title": panel.title,
        "type": panel.kind,
    }


def _options(kind: str) -> dict[str, object]:
    last: dict[str, object] = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    found: dict[str, dict[str, object]] = {
        "timeseries": {
            "legend": {"calcs": ["lastNotNull"], "displayMode": "table", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "stat": {"colorMode": "value", "graphMode": "area", "reduceOptions": last, "textMode": "auto"},
        "bargauge": {"displayMode": "basic", "orientation": "horizontal", "reduceOptions": last, "showUnfilled": True},
        "table": {"showHeader": True},
    }
    return found[kind]


def _target(number: int, query: Query, kind: str) -> dict[str, object]:
    now = query.now or kind in ("bargauge", "table")
    return {
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": query.expression,
        "format": "table" if kind == "table" else "time_series",
        "instant": now,
        "legendFormat": query.legend or "__auto",
        "range": not now,
        "refId": chr(ord("A") + number),
    }
