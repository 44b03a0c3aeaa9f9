"""Dashboards as pictures, for people without a Grafana at hand: every panel's own query, answered by Prometheus."""

import datetime as dt
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter
from matplotlib.ticker import FuncFormatter, PercentFormatter
from msgspec import Struct

from bench.monitoring import prometheus
from bench.monitoring.prometheus import Prometheus

COLUMNS, INCH = 24, 0.5  # of a dashboard; of a column in the picture
POINTS = 150
MOST = 12  # series in a legend, bars in a picture
NAMES = {"s": "s", "reqps": "/s", "short": "", "none": ""}


class Seen(Struct, frozen=True):
    """From when to when, in Unix seconds, and what stands for Grafana's rate interval."""

    begin: float
    end: float
    window: str


def draw(board: Mapping[str, Any], watching: Prometheus, choices: Mapping[str, str], seen: Seen, file: Path) -> None:
    """One dashboard, as it looked in this time, into a PNG file."""
    panels = board["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = plt.figure(figsize=(COLUMNS * INCH, height * INCH * 0.62))
    figure.suptitle(board["title"], fontsize=11, y=0.995)
    for panel in panels:
        place = panel["gridPos"]
        left, width = place["x"] / COLUMNS, place["w"] / COLUMNS
        bottom = (1 - (place["y"] + place["h"]) / height) * 0.985
        tall = place["h"] / height * 0.985
        if panel["type"] == "row":
            figure.text(left + 0.01, bottom + tall * 0.2, panel["title"], fontsize=10, weight="bold")
            continue
        axes = figure.add_axes((left + 0.035, bottom + tall * 0.16, width - 0.05, tall * 0.66))
        axes.set_title(panel["title"], fontsize=8, loc="left")
        axes.tick_params(labelsize=6)
        _panel(axes, panel, watching, choices, seen)
    figure.savefig(file, dpi=75, metadata={"Software": None})
    plt.close(figure)


def _panel(axes: Axes, panel: Mapping[str, Any], watching: Prometheus, choices: Mapping[str, str], seen: Seen) -> None:
    found = []
    for target in panel["targets"]:
        query = prometheus.filled(target["expr"], choices, seen.window)
        step = (seen.end - seen.begin) / POINTS
        series = watching.over(query, seen.begin, seen.end, step) if target["range"] else _now(watching, query)
        found += [(_legend(target["legendFormat"], each["metric"]), each) for each in series]
    if not found:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", color="grey", fontsize=8)
        axes.set_axis_off()
        return
    limits = [step["value"] for step in panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])]
    limit = next((value for value in limits if value is not None), None)
    kind = panel["type"]
    if kind in ("stat", "table"):
        _words(axes, found, panel["fieldConfig"]["defaults"]["unit"], kind)
    elif kind == "bargauge":
        _bars(axes, found, limit)
    else:
        _lines(axes, found, limit, panel["fieldConfig"]["defaults"])


def _highest(series: dict) -> float:
    return max((value for _, text in series["values"] if math.isfinite(value := float(text))), default=math.nan)


def _now(watching: Prometheus, query: str) -> list[dict]:
    return [each | {"values": [each["value"]]} for each in watching.now(query)]


def _lines(axes: Axes, found: list[tuple[str, dict]], limit: float | None, defaults: Mapping[str, Any]) -> None:
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    zone = dt.UTC
    if stacked:
        times = sorted({float(time) for _, each in found for time, _ in each["values"]})
        rows = []
        for _, each in found:
            known = {float(time): float(value) for time, value in each["values"]}
            rows.append([0.0 if math.isnan(known.get(time, 0.0)) else known.get(time, 0.0) for time in times])
        axes.stackplot([dt.datetime.fromtimestamp(t, zone) for t in times], rows, labels=[name for name, _ in found])
    else:
        for name, each in found:
            times_ = [dt.datetime.fromtimestamp(float(time), zone) for time, _ in each["values"]]
            axes.plot(times_, [float(value) for _, value in each["values"]], linewidth=1, label=name)
    if limit is not None and not stacked:
        axes.axhline(limit, color="red", linestyle="--", linewidth=0.8)
    if "min" in defaults:
        highest = max((top for _, each in found if math.isfinite(top := _highest(each))), default=0.0)
        stack = axes.dataLim.y1 if stacked else highest
        axes.set_ylim(0, 1.2 * max(stack, limit if limit is not None and not stacked else 0.0) or 1.0)
    axes.xaxis.set_major_formatter(DateFormatter("%M:%S"))
    unit = defaults["unit"]
    axes.yaxis.set_major_formatter(
        PercentFormatter(1, decimals=None)
        if unit == "percentunit"
        else FuncFormatter(lambda value, _: f"{value:g}{NAMES.get(unit, '')}")
    )
    axes.grid(alpha=0.3, linewidth=0.4)
    if len(found) <= MOST:
        axes.legend(fontsize=5, loc="upper left", framealpha=0.6, ncols=2 if len(found) > 4 else 1)


def _bars(axes: Axes, found: list[tuple[str, dict]], limit: float | None) -> None:
    last = sorted(((name, float(each["values"][-1][1])) for name, each in found), key=lambda pair: pair[0])[:MOST]
    axes.barh([name for name, _ in last], [value for _, value in last], height=0.6)
    axes.invert_yaxis()
    if limit is not None:
        axes.axvline(limit, color="red", linestyle="--", linewidth=0.8)
    axes.tick_params(axis="y", labelsize=5)
    place = axes.get_position()  # names of bins are long
    axes.set_position((place.x0 + 0.06, place.y0, place.width - 0.06, place.height))


def _words(axes: Axes, found: list[tuple[str, dict]], unit: str, kind: str) -> None:
    axes.set_axis_off()
    if kind == "table":
        lines = ["  ".join(f"{name}={value[:19]}" for name, value in each["metric"].items()) for _, each in found]
        size = 6.0
    else:
        lines = [f"{name}  {_value(float(each['values'][-1][1]), unit)}".strip() for name, each in found]
        size = 11.0
    axes.text(0.02, 0.9, "\n".join(lines[:MOST]), va="top", fontsize=size)


def _value(number: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{number:.1%}"
    if unit == "s":
        return f"{number / 86400:.0f} days" if number > 86400 else f"{number:.3g} s"
    return f"{number:.4g} {unit.removeprefix('currency') if unit.startswith('currency') else ''}".strip()


def _legend(pattern: str, labels: Mapping[str, str]) -> str:
    if pattern == "__auto":
        return ", ".join(f"{name}={value}" for name, value in labels.items() if name not in ("__name__", "namespace"))
    for name, value in labels.items():
        pattern = pattern.replace(f"{{{{{name}}}}}", value)
    return pattern
