"""Mutants: bundles that must not be served are refused before ready, in one line, while the old process serves on."""

import asyncio
import shutil
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct

from bench.load import RIGHT, Load, run
from bench.reliability import models, mutations, processes, questions, signatures
from bench.reliability.findings import Finding, Result, at_least, none_of, note
from bench.reliability.mutations import Mutant
from bench.reliability.setup import Setup
from contracts.bundle import Bundle

RATE, AT_ONCE = 50.0, 2
LEAST = 200
SECONDS = 30.0
MEMORY = 6_000_000_000  # address space, as a limit of the pod would be: a bomb must not take the machine with it


class Refusal(Struct, frozen=True):
    """How a start on a mutant ended; `wrong` says what is not as it must be."""

    mutant: Mutant
    line: str
    wrong: str


def scenario(setup: Setup) -> Result:
    """Start a server on each of them."""
    sound, other = (models.write(setup.store("mutants"), shift) for shift in (0.0, 1.0))
    mutants = [*mutations.all_of(sound, other), *signatures.all_of(sound, other, setup.store("keys"))]
    complete = len(mutants)
    mutants = mutants[:: max(1, round(1 / setup.share))]
    work = setup.store("changed")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)

    async def scene() -> tuple[Load, list[Refusal]]:
        load = Load(server.port, questions.pool([sound]), 8)
        await load.warm()
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            starts = [
                loop.run_in_executor(pool, refusal, sound, mutant, work / str(number))
                for number, mutant in enumerate(mutants)
            ]
            while not all(start.done() for start in starts):
                await load.at(RATE, 1.0)
                if len(load.tally.seconds) % 10 == 0:
                    setup.say(f"{sum(start.done() for start in starts)} of {len(starts)} mutants")
        await load.settle()
        return load, [start.result() for start in starts]

    with processes.serving(sound.path, "--digest", sound.digest) as server:
        load, refusals = run(scene)
    ends = load.tally.ends()
    return Result(
        "mutants",
        f"{len(mutants)} changed bundles, one start each, beside a server that answers {RATE:g} requests/s",
        (
            *findings(refusals),
            at_least("mutants that there are", complete, LEAST, digits=0),
            none_of(
                "answers of the old process that were not right", sum(ends.values()) - ends[RIGHT], sum(ends.values())
            ),
        ),
        details={
            "wrong": [f"{r.mutant.family}: {r.mutant.name}: {r.wrong}: {r.line}" for r in refusals if r.wrong],
            "lines": {f"{r.mutant.family}: {r.mutant.name}": r.line for r in refusals},
        },
    )


def findings(refusals: list[Refusal]) -> list[Finding]:
    """By family, and the first that were not refused as they must be."""
    wrong = Counter(refusal.mutant.family for refusal in refusals if refusal.wrong)
    total = Counter(refusal.mutant.family for refusal in refusals)
    lines = [none_of(f"not refused: {family}", wrong[family], count) for family, count in total.items()]
    for refusal in [refusal for refusal in refusals if refusal.wrong][:10]:
        lines.append(note(f"{refusal.mutant.family}: {refusal.mutant.name}", f"{refusal.wrong} {refusal.line[-100:]}"))
    return lines


def refusal(sound: Bundle, mutant: Mutant, folder: Path) -> Refusal:
    """Make the mutant, start a server on it, and see how it ends."""
    mutations.make(sound, mutant, folder)
    process = processes.launch(processes.command(folder, *mutant.arguments), MEMORY)
    try:
        output, errors = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        if not output:
            return Refusal(mutant, errors.strip(), f"neither ready nor refused after {SECONDS:g} s")
    finally:
        if folder.is_dir():
            shutil.rmtree(folder)
    return Refusal(mutant, errors.strip(), fault(process.returncode, output, errors, folder))


def fault(code: int, output: str, errors: str, folder: Path) -> str:
    """What is wrong about how a start ended, or ""."""
    if "ready" in output:
        return "served"
    if code != 2:
        return f"exit code {code}"
    if errors.count("\n") != 1:
        return f"{errors.count(chr(10))} lines"
    if str(folder) not in errors:
        return "names no file"
    return ""
