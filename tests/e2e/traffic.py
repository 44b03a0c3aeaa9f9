"""Open-loop load from inside the cluster: a new connection for every request, counted by second and by digest.

    python -m tests.e2e.traffic HOST PORT RATE QUESTIONS

Runs in a pod made of the server's own image, until it is ended. Has a line of JSON for each second, once nothing of it is
open any more, and gives all from the nth on to who asks PORT for /n: how many answers each bundle's digest gave with which status, what was lost and why, and what answer did
not name exactly one digest. A request belongs to the second in which it was due.
"""

import asyncio
import json
import re
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.load import LOST, WRONG, Due, Load, Question, run

PATIENCE = 5.0  # seconds that an answer may take
SETTLED = 7  # seconds after which everything that was due has ended
DIGESTS = re.compile(rb"\r\nx-bundle-digest: *(sha256:[0-9a-f]{64})")
PORT = 8090  # the counts are asked for there: reading logs takes an API server that finds its nodes by name
MOST = 50  # moments of lost requests that one second tells
SHOWN = 12  # hex digits that name a digest in what is written


class Second:
    """How the requests of one second ended."""

    def __init__(self) -> None:
        self.answers: defaultdict[str, Counter[str]] = defaultdict(Counter)  # digest -> status -> answers
        self.lost: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.missed: list[tuple[float, str]] = []  # when a request was due that was lost or answered wrongly, and why


class Counting(Load):
    """A load that knows which bundle gave which answer in which second."""

    def __init__(self, host: str, port: int, questions: list[Question]) -> None:
        super().__init__(port, questions, patience=PATIENCE, fresh=True, host=host)
        self.counted: defaultdict[int, Second] = defaultdict(Second)
        self.epoch = 0.0
        self.lines: list[str] = []

    def answered(self, due: Due, head: bytes, body: bytes, more: int) -> None:
        second = self.counted[self._number(due)]
        digests = DIGESTS.findall(head)
        if len(digests) == 1:
            second.answers[digests[0][7 : 7 + SHOWN].decode()][head[9:12].decode()] += 1
            if head[9:12] == b"200" and digests[0] not in body:
                second.wrong["head and body name different digests"] += 1
        else:
            said = f"{head[9:12].decode()} {body[:60].decode(errors='replace')}".strip()
            second.wrong[f"{len(digests)} digests in one answer: {said}"] += 1
            self._missed(due, said)
        super().answered(due, head, body, more)

    def end(self, due: Due, how: str, reason: str = "") -> None:
        if how in (LOST, WRONG):
            self._missed(due, reason)
        if how == LOST:
            self.counted[self._number(due)].lost[reason] += 1
        elif how == WRONG:
            self.counted[self._number(due)].wrong[reason] += 1
        super().end(due, how, reason)

    async def steadily(self, rate: float) -> None:
        """Ask `rate` times a second, for ever. Cheaper than `at`: what is due is sent at the next tick of the timer."""
        self.begun, self.epoch = perf_counter(), time.time()
        sent = written = 0
        swept = 0.0
        while True:
            now = perf_counter() - self.begun
            due = int(now * rate) + 1
            if due > sent:
                self.tally.stall = max(self.tally.stall, now - sent / rate - 1 / rate)
            for number in range(sent, due):
                self._ask(Due(self.begun + number / rate, next(self._questions)))
            sent = due
            if now - swept > 0.1:
                self._sweep(perf_counter())
                swept = now
                while now > written + 1 + SETTLED:
                    self._write(written)
                    written += 1
            await asyncio.sleep(max(0.0, sent / rate - (perf_counter() - self.begun)))

    def _number(self, due: Due) -> int:
        return max(0, int(due.at - self.begun + 1e-6))

    def _missed(self, due: Due, why: str) -> None:
        at = round(self.epoch + due.at - self.begun, 2)
        self.counted[self._number(due)].missed.append((at, why))

    def _write(self, number: int) -> None:
        second = self.counted.pop(number, Second())
        latencies = sorted(self.tally.second(number).latencies)
        line: dict[str, Any] = {"t": round(self.epoch + number, 3), "answers": second.answers}
        line |= {key: value for key, value in (("lost", second.lost), ("wrong", second.wrong)) if value}
        line |= {"missed": second.missed[:MOST]} if second.missed else {}
        if latencies:
            line["p50"], line["p99"] = (round(latencies[int(len(latencies) * q)] * 1000, 1) for q in (0.5, 0.99))
        line["stall"], self.tally.stall = round(self.tally.stall, 3), 0.0
        self.lines.append(json.dumps(line))

    async def tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request for the counts."""
        head = await reader.readuntil(b"\r\n\r\n")
        number = int(head.split()[1].rpartition(b"/")[2] or 0)
        body = "\n".join(self.lines[number:]).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


def pool(said: dict[str, Any]) -> list[Question]:
    """The requests to ask in turn: every golden row; the mark, and the header if there is one, in one of every so many."""
    mark, header = said["mark"], said.get("header")
    return [
        Question(
            _request(
                said,
                row,
                mark if number % mark["every"] == 0 else None,
                header["line"] if header and number % header["every"] == 0 else "",
            ),
            lambda head, body: "",
        )
        for number, row in enumerate(said["rows"] * mark["every"])
    ]


def _request(said: dict[str, Any], row: list[Any], mark: dict[str, Any] | None, header: str) -> bytes:
    inputs = [
        {"name": name, "datatype": datatype, "shape": [1], "data": [value]}
        for (name, datatype), value in zip(said["columns"], row, strict=True)
    ]
    for column in inputs:
        if mark and column["name"] == mark["column"]:
            column["data"] = [mark["value"]]
    body = json.dumps({"inputs": inputs}).encode()
    head = f"POST {said['path']} HTTP/1.1\r\nhost: {said.get('host', 'model')}\r\ncontent-type: application/json\r\n"
    return f"{head}{header}content-length: {len(body)}\r\n\r\n".encode() + body


def main(host: str, port: str, rate: str, questions: str) -> None:
    """Ask until somebody ends it."""
    asked = pool(json.loads(Path(questions).read_text()))

    async def scene() -> None:
        load = Counting(host, int(port), asked)
        async with await asyncio.start_server(load.tell, "0.0.0.0", PORT):
            await load.steadily(float(rate))

    run(scene)


if __name__ == "__main__":
    main(*sys.argv[1:])
