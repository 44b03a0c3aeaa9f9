"""What the demo leaves: a page to look at and a table for the terminal."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from rich.console import Console
from rich.table import Table

from contracts import atomic, report_html
from demo.story import Event, Story, brief, verdict


def write(story: Story, path: Path, seconds: float) -> None:
    """The story as one HTML file: timeline, production's answers, metrics, gates and load tests with their charts."""
    title = "From a table to a served, gated, promoted and reverted model"
    body = [
        f"<h1>{title}</h1>",
        f"<p>{len(story.events)} steps in {seconds:.0f} s. Everything below was read from what ran.</p>",
        "<h2>Timeline</h2>",
        timeline(story.events),
        "<h2>What production answered to the same rows</h2>",
        rows(
            ("", "bundle digest", "answers"), [(seen.happened, seen.digest, seen.answers) for seen in story.production]
        ),
        "<h2>Quality on the later months</h2>",
        "<p>With 95 % day-block bootstrap intervals, beside two baselines on the same features.</p>",
        rows(*metrics(story)),
    ]
    for release in story.releases:
        body += [
            f"<h2>Gates: {escape(release.name)}</h2>",
            f"<details{'' if release.gates.passed else ' open'}><summary>{escape(verdict(release.gates))}</summary>",
            report_html.table(release.gates.checks),
            "</details>",
            report_html.figures(release.gates),
        ]
        if release.load_test:
            body += [
                f"<h2>Load test: {escape(release.name)}</h2>",
                report_html.table(release.load_test.checks),
                report_html.figures(release.load_test),
            ]
    atomic.write_text(path, report_html.document(title, "".join(body)))


def timeline(events: list[Event]) -> str:
    """A bar per step, in the order they ran, to the same scale."""
    total = sum(event.seconds for event in events) or 1
    begun, lines = 0.0, []
    for event in events:
        place = f"margin-left:{100 * begun / total:.2f}%;width:{max(100 * event.seconds / total, 0.6):.2f}%"
        lines.append(
            f"<tr><td>{escape(event.title)}<br><small>{escape(event.proves)}</small></td>"
            f"<td class='number'>{event.seconds:.1f} s"
            f"<div style='{place};height:.4rem;background:#0969da;border-radius:3px'></div></td>"
            f"<td>{'<br>'.join(f'<small>{escape(line)}</small>' for line in event.seen)}</td></tr>"
        )
        begun += event.seconds
    widths = "".join(f"<col style='width:{width}%'>" for width in (32, 22, 46))
    style = "table-layout:fixed;overflow-wrap:anywhere"
    return f"<table style='{style}'><colgroup>{widths}</colgroup><tbody>{''.join(lines)}</tbody></table>"


def metrics(story: Story) -> tuple[tuple[str, ...], Sequence[tuple[str, ...]]]:
    """A line per release and model, a column per metric, from the evaluation documents."""
    names = sorted(
        {name for release in story.releases for found in release.evaluation["models"].values() for name in found}
    )
    lines = [
        (release.name, model, *(interval(measured.get(name)) for name in names))
        for release in story.releases
        for model, measured in release.evaluation["models"].items()
    ]
    return ("trained on", "model", *(name.replace("_", " ") for name in names)), lines


def interval(measured: dict[str, float] | None) -> str:
    """A value with its interval."""
    return f"{measured['value']:.4f} [{measured['lower']:.4f}, {measured['upper']:.4f}]" if measured else ""


def rows(titles: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> str:
    """A table of text."""
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table>"


def show(story: Story, console: Console) -> None:
    """The short table at the end of the demo."""
    steps = Table("step", "s", "seen", title="What happened", title_justify="left")
    for event in story.events:
        steps.add_row(event.title, f"{event.seconds:.0f}", event.seen[0] if event.seen else "")
    answers = Table(
        "production", "served bundle", "answers to the same rows", title="What clients saw", title_justify="left"
    )
    for seen in story.production:
        answers.add_row(seen.happened, brief(seen.digest), seen.answers)
    console.print(steps, answers)
