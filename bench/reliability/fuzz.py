"""Fuzz: fifty thousand requests of which many are broken. No failure, no crash, no wrong answer.

Most of them are inference requests over kept connections, sound and broken, JSON and binary; the others are bytes on
connections of their own. The OpenAPI document's part of it is schemathesis' work.
"""

import json
import random
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from msgspec import Struct, field

from bench.reliability import answers, corpus, frames, models, processes, schema, tensors, wire
from bench.reliability.corpus import Case
from bench.reliability.findings import Result, at_least, none_of, note
from bench.reliability.models import Oracle
from bench.reliability.setup import Setup
from bench.reliability.tensors import Probe
from bench.reliability.wire import Answer, Heard

TENSORS, BYTES = 40_000, 12_000
LEAST = 50_000  # requests in a full run
AT_ONCE = 2
BURSTS = (1, 1, 1, 5, 30)
MAKERS = (
    *(tensors.sound_json, tensors.sound_binary, frames.sound),
    *(tensors.broken_json, tensors.broken_binary, frames.broken),
)
SMALL = 50_000  # bytes that a body may have here, so that limits are met often


class Score(Struct):
    """What a part of the fuzzing found."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    flaws: list[str] = []

    def blame(self, what: str, data: bytes) -> None:
        """Keep what went wrong, with what it takes to see it again."""
        self.flaws.append(f"{what}: {data[:1500]!r}")

    def add(self, other: "Score") -> None:
        """Take another's findings, too."""
        self.requests += other.requests
        self.statuses.update(other.statuses)
        self.kinds.update(other.kinds)
        self.flaws += other.flaws


def scenario(setup: Setup) -> Result:
    """Everything, against one server."""
    bundle = models.write(setup.store("fuzz"))
    jobs = [(part, setup.times(count, 500) // 4) for part, count in (("tensors", TENSORS), ("bytes", BYTES))] * 4
    total = Score()
    with processes.serving(bundle.path, "--maximum-body-bytes", str(SMALL)) as server:
        size = processes.memory(server.pid)
        with ProcessPoolExecutor(AT_ONCE) as pool:
            running = [
                pool.submit(part, kind, server.port, bundle.model, count, seed)
                for seed, (kind, count) in enumerate(jobs)
            ]
            for done in running:
                total.add(done.result())
                setup.say(f"{total.requests:,} requests, {len(total.flaws)} flaws")
        said = schema.fuzz(server.port, setup.times(300, 5))
        alive = server.process.poll() is None
        grown = processes.memory(server.pid) - size if alive else 0.0
        counted = server.metrics() if alive else {}
        code, errors = server.stop() if alive else (server.process.returncode or -1, "")
    failures = sum(
        value
        for name, value in counted.items()
        if name.startswith("ml_inference_requests_total") and 'code="500"' in name
    )
    return Result(
        "fuzz",
        f"{total.requests:,} requests sound and broken, and {said.requests:,} from the OpenAPI document",
        (
            at_least("requests", float(total.requests), LEAST * setup.share, digits=0),
            none_of(
                "wrong: failures, answers that are not right, no problem document, too many answers", len(total.flaws)
            ),
            none_of("answers of 500 by the server's count", int(failures)),
            none_of("crashes", int(not alive or code != 0)),
            none_of("found by schemathesis", len(said.flaws))
            if not said.not_run
            else note("schemathesis", f"not run: {said.not_run}"),
            note("answers by status", ", ".join(f"{status}: {n:,}" for status, n in sorted(total.statuses.items()))),
            note("memory grown", f"{grown:.1f} MB"),
            *(note(f"flaw {number}", flaw[:160]) for number, flaw in enumerate([*total.flaws, *said.flaws][:8], 1)),
        ),
        details={"flaws": [*total.flaws, *said.flaws][:200], "kinds": dict(total.kinds), "last": errors},
    )


def part(kind: str, port: int, model: bytes, count: int, seed: int) -> Score:
    """A share of the work, in a process of its own."""
    work = ask_tensors if kind == "tensors" else ask_bytes
    return work(port, Oracle(model), count, random.Random(seed))


# --- inference requests


def ask_tensors(port: int, oracle: Oracle, count: int, draw: random.Random) -> Score:
    """Sound and broken inference requests, alone and in bursts, on connections that are kept as the server keeps them.

    A burst comes in one packet, so that the sound and the broken ones of it share a batch.
    """
    score, connection = Score(), None
    while score.requests < count:
        burst = [draw.choice(MAKERS)(draw) for _ in range(draw.choice(BURSTS))]
        connection = connection or wire.connect(port)
        wire.send(connection, [b"".join(probe.request for probe in burst)])
        heard = wire.listen(connection, len(burst), 10.0)
        score.requests += len(heard.answers)
        for probe, answer in zip(burst, heard.answers, strict=False):
            judge(score, probe, answer, oracle)
        closes = bool(heard.answers) and heard.answers[-1].headers.get(b"connection") == b"close"
        if len(heard.answers) < len(burst) and not closes:
            silent = burst[len(heard.answers)]
            score.requests += 1
            score.blame("no answer", silent.request)
        if len(heard.answers) < len(burst) or closes or heard.ended:
            connection.close()
            connection = None
    if connection:
        connection.close()
    return score


def judge(score: Score, probe: Probe, answer: Answer, oracle: Oracle) -> None:
    """Whether this answer may follow that probe."""
    form = "frame" if probe.path == frames.PATH else "binary" if probe.headers else "JSON"
    kind = f"{'sound' if probe.sound else 'broken'} {form}"
    score.kinds[f"{kind}: {answer.status}"] += 1
    score.statuses[answer.status] += 1
    reason = wire.flaw(answer)
    if not reason and answer.status == 200:
        reason = answers.difference(probe, json.loads(answer.body), oracle)
    elif not reason and probe.sound:
        reason = f"a sound request is refused: {answer.body.decode()}"
    if reason:
        score.blame(f"{kind}: {reason}", probe.request)


# --- bytes


def ask_bytes(port: int, oracle: Oracle, count: int, draw: random.Random) -> Score:
    """The corpus, then changes of it, each on its own connection; now and then a look whether others are served."""
    score = Score()
    probe = tensors.sound_json(random.Random(7), 2)
    known = [*corpus.smuggled(probe.body), *corpus.sound(probe.body)]
    draw.shuffle(known)
    for case in known[: count // 4]:
        ask_case(score, port, probe, case, oracle)
    while score.requests < count:
        ask_case(score, port, probe, corpus.mutated(draw, probe.body), oracle)
        if score.requests % 100 == 0:
            healthy(score, port, probe, oracle)
    return score


def ask_case(score: Score, port: int, probe: Probe, case: Case, oracle: Oracle) -> None:
    """Send a case and look at all that comes back."""
    sent = b"".join(case.parts)
    try:
        hang_up = case.mutated or case.endless
        heard = wire.say(port, case.parts, case.sound or 1 << 30, hang_up=hang_up, patience=15.0)
    except OSError as error:
        score.blame(f"{case.name}: {type(error).__name__}", sent)
        return
    score.requests += max(1, len(heard.answers))
    score.statuses.update(heard.statuses)
    score.kinds.update(f"{'mutated bytes' if case.mutated else 'bytes'}: {status}" for status in heard.statuses)
    for answer in heard.answers:
        reason = wire.flaw(answer)
        if not reason and answer.status == 200 and b'"outputs"' in answer.body and b'"model_name"' in answer.body:
            reason = answers.difference(probe, json.loads(answer.body), oracle)
        if reason:
            score.blame(f"{case.name}: {reason}", sent)
    if reason := unexpected(case, heard):
        score.blame(f"{case.name}: {reason}", sent)


def unexpected(case: Case, heard: Heard) -> str:
    """What is wrong about what came on the connection, or ""."""
    said = f"{heard.statuses}, {'ended' if heard.ended else 'not ended'}"
    if case.sound:
        return "" if heard.statuses == [200] * case.sound else said
    if not heard.ended:
        return said
    if case.mutated:
        return ""
    refused = [status >= 400 for status in heard.statuses]
    return "" if refused == [True] or (case.endless and all(refused)) else said


def healthy(score: Score, port: int, probe: Probe, oracle: Oracle) -> None:
    """Whether somebody else is served meanwhile."""
    begun = time.monotonic()
    heard = wire.say(port, [probe.request])
    took = time.monotonic() - begun
    if heard.statuses != [200] or answers.difference(probe, json.loads(heard.answers[0].body), oracle) or took > 5:
        score.blame(f"somebody else: {heard.statuses} after {took:.1f} s", b"")
