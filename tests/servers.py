"""A real server process for tests, in the environment it is shipped with."""

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from serving.application import Application
from serving.exchange import Request, Response

ROOT = Path(__file__).resolve().parents[1]


class Running(Struct, frozen=True):
    """A server that said it is ready."""

    process: subprocess.Popen
    url: str
    management: str
    digest: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def metrics(self) -> dict[str, float]:
        """Its metrics: `name{labels}` -> value, without the labels that every one has."""
        with urllib.request.urlopen(f"{self.management}/metrics") as answer:
            lines = [line.rpartition(" ") for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {re.sub(r'model="[^"]*",version="[^"]*",?', "", name): float(value) for name, _, value in lines}


def python() -> Path:
    """The Python of the environment `serve`."""
    return ROOT / os.environ.get("VENV_SERVE", ".venv-serve") / "bin" / "python"


# Serves as it does where there is no uvloop: asyncio's own event loop.
WITHOUT_UVLOOP = "import sys; sys.modules['uvloop'] = None; from serving.__main__ import main; sys.exit(main())"


def start(
    bundle: Path,
    *arguments: str,
    ports: tuple[int, int] = (0, 0),
    environment: dict[str, str] | None = None,
    uvloop: bool = True,
    interpreter: Path | None = None,
) -> subprocess.Popen:
    """`python -m serving` on free ports, in the environment `serve` unless another Python is named."""
    command = [interpreter or python(), *(["-m", "serving"] if uvloop else ["-c", WITHOUT_UVLOOP]), "--bundle", bundle]
    command += ["--port", str(ports[0]), "--management-port", str(ports[1]), *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=pipe, stderr=pipe)


@contextmanager
def running(
    bundle: Path,
    *arguments: str,
    environment: dict[str, str] | None = None,
    uvloop: bool = True,
    interpreter: Path | None = None,
) -> Iterator[Running]:
    """A server that is ready; it is stopped at the end, whatever happened."""
    process = start(bundle, *arguments, environment=environment, uvloop=uvloop, interpreter=interpreter)
    try:
        line = process.stdout.readline()
        assert line.startswith("ready "), line + process.stderr.read()
        said = dict(pair.split("=", 1) for pair in line.split()[1:])
        yield Running(process, said["url"], said["management"], said["digest"])
    finally:
        process.terminate()
        process.communicate(timeout=30)


class Turns:
    """A scheduler without an event loop: a turn ends when `end` is called, and the thread is this one."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def soon(self, call: Callable[[], None]) -> None:
        self.waiting.append(call)

    def later(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        return lambda: None

    def beside(self, work: Callable[[], object], done: Callable[[object], None]) -> None:
        self.waiting.append(lambda: done(work()))

    def end(self) -> None:
        """What was to happen at the end of this turn."""
        while self.waiting:
            self.waiting.pop(0)()


def answer(application: Application, turns: Turns, request: Request) -> Response:
    """The one answer of an application that is asked nothing else in this turn."""
    answers: list[Response] = []
    application.handle(request, answers.append)
    turns.end()
    (only,) = answers
    return only


def body(columns: dict[str, list], **more: object) -> bytes:
    """An inference request for the tiny bundle's columns."""
    datatypes = {"station": "BYTES", "temperature": "FP32", "hour": "INT64", "holiday": "BOOL"}
    inputs = [
        {"name": name, "datatype": datatypes[name], "shape": [len(data)], "data": data}
        for name, data in columns.items()
    ]
    return json.dumps({"inputs": inputs, **more}).encode()
