"""The two loads: wrk for how much a server does, our open loop for how long it takes at a rate that it can keep."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Literal

from msgspec import Struct

from bench.serving.questions import Question
from contracts.errors import InputError

HERE = Path(__file__).resolve().parent
WARM_UP = 100  # requests, one after the other, before each closed loop
SLACK = 20  # seconds that a load may take longer than it was told to
OPEN_CONNECTIONS = 32


class Cell(Struct, frozen=True):
    """One way to load a server: `size` is connections in the closed loop, requests a second in the open one."""

    name: str
    title: str
    loop: Literal["closed", "open"]
    size: int
    dialect: Literal["json", "binary"] = "json"
    rows: int = 1
    unique: bool = False  # every request has an id of its own, so that no two heads are the same bytes


class Figures(Struct, frozen=True):
    """What a load found: times in microseconds; `fault` says why it does not count."""

    rate: float  # answers a second
    p50: float
    p99: float
    p99_all: float = 0.0  # of the open loop: with the requests that the machine held up
    held_up: int = 0
    fault: str = ""


def wrk() -> str:
    """The path of wrk; raises InputError where it is missing."""
    if found := shutil.which("wrk"):
        return found
    raise InputError("wrk: is not on PATH; get it with `apt-get install wrk` or `brew install wrk`")


def closed(
    cell: Cell, port: int, question: Question, headers: Mapping[str, str], seconds: int, folder: Path
) -> Figures:
    """As many requests as the server answers, `cell.size` at a time, each connection asking again at once."""
    body = folder / "body"
    body.write_bytes(question.body)
    warm_up(port, question, headers)
    command = [wrk(), "-t1", f"-c{cell.size}", f"-d{seconds}s", "--timeout", "10s", "-s", str(HERE / "closed_loop.lua")]
    for name, value in {**question.headers, **headers}.items():
        command += ["-H", f"{name}: {value}"]
    command += [f"http://127.0.0.1:{port}{question.path}", "--", str(body), *(["unique"] if cell.unique else [])]
    said = _last_line(_run(command, b"", seconds))
    faults = {"answers that are not 2xx": said["bad_status"], "broken connections": said["broken"]}
    fault = ", ".join(f"{count} {what}" for what, count in faults.items() if count)
    return Figures(said["requests"] / said["microseconds"] * 1e6, said["p50"], said["p99"], fault=fault)


def at_a_rate(cell: Cell, port: int, question: Question, headers: Mapping[str, str], seconds: int) -> Figures:
    """`cell.size` requests a second, whatever comes back."""
    command = [sys.executable, "-P", str(HERE / "open_loop.py"), str(port), str(cell.size), str(seconds)]
    said = _last_line(_run([*command, str(OPEN_CONNECTIONS)], question.bytes(port, headers), seconds))
    faults = {"answers that are not 200": said["bad_status"], "requests without an answer": said["lost"]}
    fault = ", ".join(f"{count:g} {what}" for what, count in faults.items() if count)
    if said["held_up"] > said["requests"] / 2:
        fault = fault or "the machine was too busy: it held up more than half of the requests"
    rate = said["requests"] / seconds
    return Figures(rate, said["p50"], said["p99"], said["p99_all"], int(said["held_up"]), fault)


def warm_up(port: int, question: Question, headers: Mapping[str, str]) -> None:
    """Some requests that nobody counts; wrk has no such thing, and knows whole seconds only."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        for _ in range(WARM_UP):
            connection.request("POST", question.path, question.body, {**question.headers, **headers})
            connection.getresponse().read()
    except (OSError, HTTPException):
        pass  # the load itself will say so
    finally:
        connection.close()


def _run(command: list[str], sent: bytes, seconds: float) -> str:
    try:
        done = subprocess.run(command, input=sent, capture_output=True, timeout=seconds + SLACK)
    except subprocess.TimeoutExpired:
        return "it did not end in time"
    return (done.stdout if done.returncode == 0 else done.stderr).decode(errors="replace")


def _last_line(said: str) -> dict[str, float]:
    """The JSON in the last line; a load that has none had no server to talk to, and counts as broken."""
    last = (said.strip().splitlines() or ["it said nothing"])[-1]
    try:
        return json.loads(last)
    except ValueError:
        nothing = dict.fromkeys(("requests", "p50", "p99", "p99_all", "held_up", "bad_status"), 0.0)
        return {**nothing, "microseconds": 1.0, "broken": 1.0, "lost": 1.0}
