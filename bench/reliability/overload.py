"""Overload: three times what the server can carry. It goes on doing what it can, and says at once what it cannot.

With a model whose answers cost some twenty times what a refusal does: a request must be read before it can be refused,
and where that costs a share r of an answer, no more than (1 - 3 r) / (1 - r) of the capacity is left for answers.
"""

from itertools import pairwise

from bench.load import REFUSED, RIGHT, Load, Question, run
from bench.reliability import models, processes, questions
from bench.reliability.findings import Result, at_least, at_most, none_of, note
from bench.reliability.processes import Server
from bench.reliability.setup import CLIENT_CORE, SERVER_CORE, Setup, highest_rate

WIDTH, ROWS = 2048, 8
CONNECTIONS = 900
TIMES = 3.0
GOODPUT = 0.9
RECOVERY_SECONDS = 5.0


def scenario(setup: Setup) -> Result:
    """Find the capacity, overload, and look how long it takes to be well again."""
    if not processes.knows("--queue-requests"):
        return Result("overload", "3 × capacity", not_run="this server has no --queue-requests")
    bundle = models.write(setup.store("overload"), width=WIDTH)
    asked = questions.pool([bundle], 200, ROWS)
    seconds, after = setup.seconds(60.0, 5.0), 8.0
    budget = setup.budgets.service.latency_p99_ms
    with processes.serving(bundle.path, core=SERVER_CORE) as server:
        processes.pin(CLIENT_CORE)
        capacity: float = run(lambda: _capacity(setup, server, asked))
    # As many as are answered within half of the budget: who would wait longer is told so at once.
    queue = max(8, int(capacity * budget / 1000 / 2))
    with processes.serving(bundle.path, "--queue-requests", str(queue), core=SERVER_CORE) as server:

        async def scene() -> tuple[Load, tuple[int, int], tuple[int, int]]:
            load = Load(server.port, asked, CONNECTIONS)
            await load.warm()
            setup.say(f"overload: {TIMES * capacity:,.0f}/s for {seconds:.0f} s, --queue-requests {queue}")
            during = await load.at(TIMES * capacity, seconds)
            later = await load.at(0.5 * capacity, after)
            await load.settle()
            load.close()
            return load, during, later

        load, during, later = run(scene)
        processes.unpin()
    tally = load.tally
    ends, all_ends = tally.ends(*during), tally.ends()
    goodput = ends[RIGHT] / (during[1] - during[0])
    well = [_well(load, number, budget) for number in range(*later)]
    # Two seconds in a row: one of them could be luck, and its last answer a neighbour's.
    recovered = next((number for number, pair in enumerate(pairwise(well)) if all(pair)), len(well))
    return Result(
        "overload",
        f"{TIMES:g} × {capacity:,.0f} requests/s of {ROWS} rows for {seconds:.0f} s, --queue-requests {queue}",
        (
            note("capacity: highest rate within the budget", f"{capacity:,.0f} requests/s"),
            at_least("right answers, of capacity", 100 * goodput / capacity, 100 * GOODPUT, " %"),
            none_of(
                "neither right nor refused with 429 or 503",
                sum(all_ends.values()) - all_ends[RIGHT] - all_ends[REFUSED],
                sum(all_ends.values()),
            ),
            note("refused", f"{ends[REFUSED]:,} of {sum(ends.values()):,}"),
            note("p99 of right answers meanwhile", f"{tally.quantile(0.99, *during):.0f} ms"),
            at_most("seconds until p99 keeps the budget again", float(recovered), RECOVERY_SECONDS, " s", 0),
        ),
        details={"reasons": dict(tally.reasons), "generator_stall_ms": round(tally.stall * 1000, 1)},
    )


def _well(load: Load, number: int, budget: float) -> bool:
    """Whether everything that was due in this second was answered within the budget."""
    kept = load.tally.quantile(0.99, number, number + 1) <= budget
    return kept and set(load.tally.ends(number, number + 1)) == {RIGHT}


async def _capacity(setup: Setup, server: Server, asked: list[Question]) -> float:
    load = Load(server.port, asked, 64)
    await load.warm()
    found = await highest_rate(setup, load, server, 100.0, 2.0)
    load.close()
    return found.rate
