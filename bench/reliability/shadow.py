"""Shadow: a second bundle that is slow, stopped, killed or wrong costs the clients of the first nothing.

Rounds of every state are interleaved, and beside "without" a second server without a shadow is measured: what lies
between those two is the noise of the machine, and a difference is called one only beyond it.
"""

import os
import signal
from contextlib import suppress
from statistics import median

from bench.load import RIGHT, Load, Question, run
from bench.reliability import models, processes, questions
from bench.reliability.findings import Finding, Result, none_of, note
from bench.reliability.processes import Server
from bench.reliability.setup import Setup
from contracts.bundle import Bundle

RATE, SECONDS, ROUNDS, CONNECTIONS = 200.0, 5.0, 7, 16
MARGIN = 1.05
SLOW_WIDTH = 4096
WITHOUT, CONTROL = "without", "without, again"
GOOD, SLOW, STOPPED, KILLED, ERRING = "as good", "slow", "stopped (SIGSTOP)", "killed", "erring"
STATES = (WITHOUT, CONTROL, GOOD, SLOW, STOPPED, KILLED, ERRING)


def scenario(setup: Setup) -> Result:
    """Every state in turn, round after round."""
    what = f"{RATE:g} requests/s with a shadow bundle"
    if not processes.knows("--shadow"):
        return Result("shadow", what, not_run="this server has no --shadow")
    primary = models.write(setup.store("primary"))
    shadows = {
        GOOD: models.write(setup.store("shadow"), 0.5),
        SLOW: models.write(setup.store("slow"), 0.5, SLOW_WIDTH),
        ERRING: models.write(setup.store("erring"), 0.5, brittle=True),
    }
    asked = questions.pool([primary])
    rounds, seconds = setup.times(ROUNDS), setup.seconds(SECONDS, 2.0)
    servers: dict[str, Server] = {}
    try:
        for state in STATES:
            servers[state] = server_in(state, primary, shadows)
        found = run(lambda: measure(setup, servers, asked, rounds, seconds))
    finally:
        for server in servers.values():
            processes.end(server.process)
    return Result("shadow", f"{what}, {rounds} rounds of {seconds:.0f} s in each state", findings(found))


def server_in(state: str, primary: Bundle, shadows: dict[str, Bundle]) -> Server:
    """A server for one state."""
    if state in (WITHOUT, CONTROL):
        return processes.start(primary.path)
    shadow = shadows.get(state, shadows[GOOD])
    return processes.start(primary.path, "--shadow", str(shadow.path))


def spoil(state: str, server: Server) -> None:
    """Stop or kill the shadow, once more in case it was started anew."""
    numbers = {STOPPED: signal.SIGSTOP, KILLED: signal.SIGKILL}
    for pid in processes.descendants(server.pid) if state in numbers else ():
        with suppress(ProcessLookupError):
            os.kill(pid, numbers[state])


async def measure(
    setup: Setup, servers: dict[str, Server], asked: list[Question], rounds: int, seconds: float
) -> dict[str, list[tuple[float, float, int]]]:
    """p50 and p99 in milliseconds, and what was not right, of every state and round."""
    found: dict[str, list[tuple[float, float, int]]] = {state: [] for state in servers}
    for number in range(rounds):
        order = list(servers)[number % len(servers) :] + list(servers)[: number % len(servers)]
        for state in order:
            load = Load(servers[state].port, asked, CONNECTIONS)
            await load.warm()
            spoil(state, servers[state])
            await load.at(RATE, 0.5)
            begin, end = await load.at(RATE, seconds)
            await load.settle()
            ends = load.tally.ends()
            wrong = sum(ends.values()) - ends[RIGHT]
            found[state].append((load.tally.quantile(0.5, begin, end), load.tally.quantile(0.99, begin, end), wrong))
            load.close()
        setup.say(f"round {number + 1} of {rounds}: p99 without {found[WITHOUT][-1][1]:.2f} ms")
    return found


def findings(found: dict[str, list[tuple[float, float, int]]]) -> tuple[Finding, ...]:
    """Medians over the rounds, as ratios to "without" in the same round."""
    base = found[WITHOUT]
    again = ratio(found[CONTROL], base, 1)
    noise = max(again, 1 / again)
    lines = [
        note("without: p50, p99", f"{median(row[0] for row in base):.2f}, {median(row[1] for row in base):.2f} ms"),
        none_of("not answered right", sum(row[2] for rows in found.values() for row in rows)),
    ]
    for state, rows in found.items():
        if state == WITHOUT:
            continue
        p50, p99 = ratio(rows, base, 0), ratio(rows, base, 1)
        spread = sorted(row[1] / first[1] for row, first in zip(rows, base, strict=True))
        said = f"p99 × {p99:.3f} ({spread[0]:.2f} to {spread[-1]:.2f}), p50 × {p50:.3f}"
        bound = MARGIN * noise
        if state == CONTROL:
            lines.append(note(f"{state}: the noise", said))
        else:
            lines.append(
                Finding(f"shadow {state}", said, f"p99 × ≤ {bound:.3f} ({MARGIN:g} × the noise)", p99 <= bound)
            )
    return tuple(lines)


def ratio(rows: list[tuple[float, float, int]], base: list[tuple[float, float, int]], column: int) -> float:
    """The median over rounds of a figure's ratio to that of "without"."""
    return median(row[column] / first[column] for row, first in zip(rows, base, strict=True))
