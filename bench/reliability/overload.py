"""Overload: three times what the server can carry. It goes on doing what it can, and says at once what it cannot.

With a model whose answers cost much more than a refusal (reading a request costs something, too): where both cost the
same, nothing that is decided after reading can hold the goodput.
"""

from bench.load import REFUSED, RIGHT, Load, run
from bench.reliability import models, processes, questions
from bench.reliability.findings import Result, at_least, at_most, none_of, note
from bench.reliability.setup import CLIENT_CORE, SERVER_CORE, Carried, Setup, highest_rate

WIDTH, ROWS = 1024, 8
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

        async def scene() -> tuple[Carried, Load, tuple[int, int], tuple[int, int]]:
            search = Load(server.port, asked, 64)
            await search.warm()
            found = await highest_rate(setup, search, server, 100.0, 2.0)
            search.close()
            load = Load(server.port, asked, CONNECTIONS)
            await load.warm()
            setup.say(f"overload: {TIMES * found.rate:,.0f}/s for {seconds:.0f} s")
            during = await load.at(TIMES * found.rate, seconds)
            later = await load.at(0.5 * found.rate, after)
            await load.settle()
            load.close()
            return found, load, during, later

        found, load, during, later = run(scene)
        processes.unpin()
    tally = load.tally
    ends, all_ends = tally.ends(*during), tally.ends()
    goodput = ends[RIGHT] / (during[1] - during[0])
    sick = [
        number - later[0] + 1
        for number in range(*later)
        if set(tally.ends(number, number + 1)) - {RIGHT} or not tally.quantile(0.99, number, number + 1) <= budget
    ]
    return Result(
        "overload",
        f"{TIMES:g} × {found.rate:,.0f} requests/s of {ROWS} rows for {seconds:.0f} s, {CONNECTIONS} connections",
        (
            note("capacity: highest rate within the budget", f"{found.rate:,.0f} requests/s"),
            at_least("right answers, of capacity", 100 * goodput / found.rate, 100 * GOODPUT, " %"),
            none_of(
                "neither right nor refused with 429 or 503",
                sum(all_ends.values()) - all_ends[RIGHT] - all_ends[REFUSED],
                sum(all_ends.values()),
            ),
            note("refused", f"{ends[REFUSED]:,} of {sum(ends.values()):,}"),
            note("p99 of right answers meanwhile", f"{tally.quantile(0.99, *during):.0f} ms"),
            at_most("seconds until p99 keeps the budget again", float(max(sick, default=0)), RECOVERY_SECONDS, " s", 0),
        ),
        details={"reasons": dict(tally.reasons), "generator_stall_ms": round(tally.stall * 1000, 1)},
    )
