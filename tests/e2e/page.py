"""The figures of a run as a section of docs/benchmarks.md, and its two pictures.

python -m tests.e2e.page
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from contracts import atomic
from tests.e2e import chart
from tests.e2e.figures import FILE

ROOT = Path(__file__).resolve().parents[2]
PAGE = Path("docs/benchmarks.md")
KEPT = Path("docs/e2e-figures.json")  # the figures beside the page, without the pictures' seconds
BEGIN, END = "<!-- e2e: begin -->", "<!-- e2e: end -->"
UNSAID = ("measured", "commit", "before", "metrics")
BODIES = ("notification", "before")  # full of digests, which a search for secrets takes for some
PICTURES = {
    "picture: canary": ("docs/e2e-canary.svg", "A good version", False),
    "picture: abort": ("docs/e2e-abort.svg", "A version that cannot answer 5 % of requests", True),
}


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join("–" if cell is None else str(cell) for cell in line) + " |" for line in lines)


def seconds(found: dict[str, Any], name: str) -> str | None:
    """A time, where it was taken."""
    return None if found.get(name) is None else f"{found[name]:g} s"


def promotions(found: dict[str, Any]) -> str:
    """Scenario b."""
    total = found["total"]
    rows = [
        (
            f"{run['from']} → {run['to']}",
            f"{run['first_answer_s']:g} s",
            f"{run['healthy_s']:g} s",
            ", ".join(f"{s['share']:g} % at {s['weight']} %" for s in run["shares"]),
            run["lost"],
        )
        for run in found["runs"]
    ]
    head = ("promotion", "told → first answer", "told → all of it", "share at each weight", "lost")
    said = (
        f"**{total['lost']} of {total['requests']:,} requests lost** over {found['promotions']} promotions in "
        f"{found['seconds']:.0f} s, {total['per_second']:g} new connections a second, every answer with exactly one digest "
        f"({sum(total['wrong'].values())} without)."
    )
    return f"{said}\n\n{table(head, rows)}"


def bad(found: dict[str, dict[str, Any]]) -> str:
    """Scenarios c and d."""
    rows = []
    for name, each in found.items():
        total = each["total"]
        failed = ", ".join(each["failed_metrics"]) or "none: not ready in time"
        rows.append(
            (
                name,
                failed,
                f"{each['told_to_abort_s']:g} s",
                seconds(each, "served_to_abort_s"),
                f"{each['answers_of_the_bad_version']:,} of {total['requests']:,}",
                f"{max(each['abort_to_notification_s'], 0.0):g} s",
                f"{each['rollback_s']:g} s",
                seconds(each, "told_to_reverted_s"),
                f"{each['told_to_healthy_s']:g} s",
                total["lost"],
            )
        )
    head = ("version", "metric", "told → abort", "served → abort", "answers it gave", "abort → notification")
    return table((*head, "`release rollback`", "told → as git says", "told → Healthy", "lost"), rows)


def others(document: dict[str, Any]) -> str:
    """The rest, a line each."""
    rows = []
    for name, each in sorted(document.items()):
        if name == "machine" or name.startswith(("b:", "c:", "picture")):
            continue
        said = []
        for key, value in each.items():
            if key == "total":
                wrong = "".join(f", {count} with {reason}" for reason, count in value["wrong"].items())
                said.append(f"lost {value['lost']} of {value['requests']:,}{wrong}")
            elif key.endswith("_s") and value is not None:
                said.append(f"{key[:-2].replace('_', ' ')} {max(value, 0.0):g} s")
            elif key not in UNSAID and (key != "missed" or value) and not isinstance(value, dict):
                said.append(f"{key.replace('_', ' ')}: {str(value)[:200]}")
        rows.append((name, "; ".join(said).replace("|", "/")))
    return table(("scenario", "seen"), rows)


def section(document: dict[str, Any]) -> str:
    """Everything between the two marks."""
    machine = document["machine"]
    cluster = re.sub(
        r"v0\.0\.0-master\+[^\s,]*", "(a build that knows no version of its own)", "; ".join(machine["cluster"])
    )
    days = sorted({each["measured"] for name, each in document.items()})
    of: dict[str, list[str]] = {}
    for name, each in sorted(document.items()):
        if name != "machine" and not name.startswith("picture"):
            of.setdefault(each["commit"], []).append(name)
    commits = "; ".join(f"{commit}: {', '.join(names)}" for commit, names in of.items())
    parts = [
        f"Measured {days[0]} to {days[-1][11:]} UTC, on {machine['system']}; {cluster}. Commits: {commits}.",
        promotions(document["b: promotions"]) if "b: promotions" in document else "",
        *(f"![{title}]({Path(file).name})" for name, (file, title, _) in PICTURES.items() if name in document),
        bad({name[3:]: each for name, each in document.items() if name.startswith("c: ")}),
        others(document),
    ]
    return "\n\n".join(part for part in parts if part)


def main() -> int:
    """Write what there are figures for."""
    document = json.loads((ROOT / FILE).read_text())
    for name, (file, title, is_bad) in PICTURES.items():
        if name in document:
            atomic.write_text(ROOT / file, chart.delivery(document[name], title, is_bad))
    kept = {
        name: {key: value for key, value in each.items() if key not in BODIES}
        for name, each in document.items()
        if not name.startswith("picture")
    }
    atomic.write_text(ROOT / KEPT, json.dumps(kept, indent=1, sort_keys=True) + "\n")
    page = (ROOT / PAGE).read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    atomic.write_text(ROOT / PAGE, f"{before}{BEGIN}\n\n{section(document)}\n\n{END}{after}")
    print(f"{PAGE}, {KEPT} and the pictures: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
