"""Answers per second of two versions over time, one on the other, as SVG; what happened when is written below."""

from typing import Any

WIDTH, HEIGHT, LEFT, TOP, BELOW = 760, 220, 56, 34, 96
OLD, NEW, LOST, TEXT = "#9db7d5", "#2f6f4f", "#c0392b", "#333333"
BAD = "#d08a2e"


def delivery(picture: dict[str, Any], title: str, bad: bool) -> str:
    """The share of answers that each version gave, second by second."""
    seconds, old, new = picture["seconds"], picture["old"], picture["new"]
    span = max(second["at"] for second in seconds) + 1
    totals = [second[old] + second[new] for second in seconds]

    def x(at: float) -> float:
        return LEFT + at / span * WIDTH

    bars = []
    for second, total in zip(seconds, totals, strict=True):
        share = second[new] / total if total else 0.0
        wide = WIDTH / span + 0.3
        high = share * HEIGHT
        bars.append(_rect(x(second["at"]), TOP, wide, HEIGHT - high, OLD))
        if high:
            bars.append(_rect(x(second["at"]), TOP + HEIGHT - high, wide, high, BAD if bad else NEW))
        if second["lost"]:
            bars.append(_rect(x(second["at"]), TOP, wide, 4, LOST))
    lost = sum(second["lost"] for second in seconds)
    head = f"{title}: {sum(totals):,} answers, {lost} lost"
    parts = [_text(LEFT, 16, head, size=14, weight="bold")]
    parts += bars
    parts += [
        _text(LEFT - 6, TOP + HEIGHT * (1 - share) + 4, f"{share:.0%}", "end") for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    parts += [_text(x(at), TOP + HEIGHT + 16, f"{at} s", "middle") for at in range(0, int(span), 10)]
    parts += _marks(picture, x)
    parts += [_rect(LEFT, TOP + HEIGHT + 74, 12, 12, OLD), _text(LEFT + 18, TOP + HEIGHT + 84, f"{old}: ran before")]
    parts += [_rect(LEFT + 200, TOP + HEIGHT + 74, 12, 12, BAD if bad else NEW)]
    parts += [_text(LEFT + 218, TOP + HEIGHT + 84, f"{new}: the new version")]
    size = f'width="{WIDTH + LEFT + 24}" height="{TOP + HEIGHT + BELOW}"'
    style = 'font-family="sans-serif" font-size="11"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{_rect(0, 0, 2000, 1000, "white")}{"".join(parts)}</svg>\n'


def _marks(picture: dict[str, Any], x: Any) -> list[str]:
    """What the Rollout did: a line, and words in three rows so that neighbours do not meet."""
    parts, before = [], {}
    row = 0
    for mark in picture["marks"]:
        word = _word(mark, before)
        before = mark
        if not word:
            continue
        at = x(mark["at"])
        parts.append(
            f'<line x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{TOP + HEIGHT}" stroke="{TEXT}" stroke-dasharray="2 3"/>'
        )
        parts.append(_text(at + 2, TOP + HEIGHT + 32 + 13 * row, word))
        row = (row + 1) % 3
    return parts


def _word(mark: dict[str, Any], before: dict[str, Any]) -> str:
    if before and mark["image"] != before.get("image"):
        return f"git says {mark['image']}"
    if mark["abort"] and not before.get("abort"):
        return "aborted"
    if mark["phase"] == "Healthy" and before.get("phase") not in ("Healthy", None):
        return "Healthy"
    if mark["step"] != before.get("step") and (mark["step"] or 0) % 3 == 1 and not mark["abort"]:
        return f"share {1 + (mark['step'] or 0) // 3} is there"
    return ""


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", size: int = 11, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
        f'fill="{TEXT}">{text}</text>'
    )
