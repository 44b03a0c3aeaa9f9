"""`python -m bench.monitoring`: measure what monitoring sees and how soon, and write it into docs/monitoring.md.

detection   how long it takes until somebody is called (promtool; some minutes)
pictures    every dashboard, of a real Prometheus that watches a canary (three minutes)
"""

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from bench.monitoring import detection, pictures, prometheus, rendered, scene
from bench.monitoring.detection import Case
from bench.monitoring.scene import Scene, Traffic
from contracts import atomic
from contracts.errors import InputError

PAGE = rendered.ROOT / "docs" / "monitoring.md"
SECTION = re.compile(r"(<!-- detection -->\n).*?(<!-- /detection -->)", re.DOTALL)
CASES = (
    Case(1.0, looked_hours=1),
    Case(0.5, looked_hours=1),
    Case(0.1, looked_hours=1),
    Case(0.02, looked_hours=2),
    Case(0.01, looked_hours=6),
    Case(0.005, looked_hours=8),
    Case(0.002, looked_hours=8),
    Case(1.0, minutes=2, looked_hours=1),
    Case(1.0, requests=0.1, looked_hours=1),
    Case(0.1, requests=0.1, looked_hours=8),
)
RECORDED = rendered.ROOT / "tests" / "monitoring" / "controller"
RELEASE = ((0.2, "completed"), (0.5, "paused"), (0.8, "waiting"), (1, "aborted"))  # until when, and how it stands
START_SECONDS = 5
STABLE = Traffic(requests=60, failing=0.001)
CANARY = Traffic(requests=20, failing=0.04, numberless=0.01, warmer=0.5)
SCENE_SECONDS = 150


def main() -> int:
    """0 when it is measured, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m bench.monitoring", description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", help="detection, pictures (default: both)")
    parser.add_argument("--seconds", type=float, default=SCENE_SECONDS, help="of the pictures (default: %(default)g)")
    add = parser.add_argument
    add("--controller", type=Path, default=RECORDED, help="pages of an Argo Rollouts controller (default: %(default)s)")
    arguments = parser.parse_args()
    chosen = arguments.what or ["detection", "pictures"]
    if unknown := sorted(set(chosen) - {"detection", "pictures"}):
        raise InputError(f"{unknown[0]}: can be detection or pictures")
    console = Console()
    monitoring = rendered.read()
    if "detection" in chosen:
        found = []
        for case in CASES:
            found.append(detection.measure(monitoring, case))
            console.print(found[-1])
        text = PAGE.read_text(encoding="utf-8")
        table = detection.table(found)
        atomic.write_text(PAGE, SECTION.sub(lambda match: f"{match[1]}{table}\n{match[2]}", text))
    if "pictures" in chosen:
        _pictures(monitoring, arguments.controller, arguments.seconds, console)
    return 0


def _pictures(monitoring: rendered.Monitoring, controller: Path, seconds: float, console: Console) -> None:
    states = [(share, (controller / f"{name}.prom").read_text(encoding="utf-8")) for share, name in RELEASE]
    started = time.monotonic()

    def page() -> str:
        gone = (time.monotonic() - started) / (seconds + START_SECONDS)
        return next(text for share, text in states if gone < share or share == 1)

    played = Scene(STABLE, CANARY, page)
    with (
        tempfile.TemporaryDirectory(prefix="monitoring-") as folder,
        scene.playing(played, monitoring, Path(folder)) as watching,
    ):
        begin = time.time()
        time.sleep(seconds)
        seen = pictures.Seen(begin + 5, time.time(), "10s")
        for name, board in monitoring.dashboards.items():
            file = PAGE.parent / f"monitoring-{name.rpartition('-')[2]}.png"
            pictures.draw(board, watching, prometheus.choices(board, watching), seen, file)
            console.print(f"{file}: {file.stat().st_size // 1000} kB")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        print(f"bench.monitoring: {error}", file=sys.stderr)
        sys.exit(2)
