"""One server as a session of processes: started on a core, asked, measured, paused, stopped by its id."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from bench.serving.questions import Question, wrong
from contracts.errors import InputError

PATIENCE = 60.0  # seconds until the first answer
TICKS = os.sysconf("SC_CLK_TCK")


class Refused(Exception):  # noqa: N818  not a fault of ours: the server is left out and the reason is shown
    """A server that does not start, or answers wrongly."""


class Process:
    """A running server. `started` is the time.perf_counter() of just before it was started."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> None:
        self.log = log
        with log.open("wb") as file:
            self.started = time.perf_counter()
            # A session of its own: what it starts can then be found, paused and stopped with it.
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def first_answer(self, port: int, question: Question, headers: Mapping[str, str]) -> float:
        """Seconds from start to the first right answer; raises Refused when there is none."""
        why = "it does not listen"
        while time.perf_counter() - self.started < PATIENCE:
            if self._process.poll() is not None:
                raise Refused(f"it ended with {self._process.returncode}: {self.last_words()}")
            try:
                why = wrong(question, *ask(port, question, headers))
            except (OSError, HTTPException):
                time.sleep(0.002)
                continue
            if not why:
                return time.perf_counter() - self.started
            if not why.startswith("status "):
                break
            time.sleep(0.01)
        raise Refused(why)

    def memory(self) -> float:
        """Megabytes in memory: what each process has alone, and once what they share.

        Not PSS: others that run now and have the same libraries open would make it smaller.
        """
        alone, shared = 0, 0
        for pid in self._pids():
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
            except OSError:  # it has just ended
                continue
            kilobytes = {line.partition(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}
            alone += kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
            shared = max(shared, kilobytes["Shared_Clean"] + kilobytes["Shared_Dirty"])
        return (alone + shared) * 1024 / 1e6

    def cpu_seconds(self) -> float:
        """Processor time that its processes have taken since they started."""
        return sum(int(fields[11]) + int(fields[12]) for fields in _stats(self._pids())) / TICKS

    def pause(self) -> None:
        """Until `resume`, it takes no processor time from the one that is measured."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._signal(signal.SIGCONT)

    def ask_to_stop(self) -> None:
        """So that several can end at the same time; `stop` is still needed."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it and everything it has started."""
        self.ask_to_stop()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            pass
        self._signal(signal.SIGKILL)
        self._process.wait(5)

    def last_words(self) -> str:
        """The last line of what it said."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return (lines or ["it said nothing"])[-1][:200]

    def _signal(self, number: int) -> None:
        for pid in self._pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:  # it has just ended
                pass

    def _pids(self) -> list[int]:
        session = str(self.pid)  # not its group: a supervisor may give its workers groups of their own
        everybody = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in everybody for fields in _stats([pid]) if fields[3] == session]


def ask(port: int, question: Question, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
    """One request over a connection of its own: status, headers by lower-case name, body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", question.path, question.body, {**question.headers, **headers})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def cores() -> tuple[int, int]:
    """The core of the servers and the one of who asks them; raises InputError where there are not two."""
    if not hasattr(os, "sched_getaffinity"):
        raise InputError("bench.serving: cores cannot be assigned on this system; run it on Linux")
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise InputError("bench.serving: one core is not enough: one serves, one asks; run it where there are two")
    return allowed[0], allowed[-1]


@contextmanager
def on(*places: int) -> Iterator[None]:
    """Run what is inside, and the processes it starts, on these cores only; nowhere else means no change."""
    before = os.sched_getaffinity(0)
    if places:
        os.sched_setaffinity(0, places)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _stats(pids: Sequence[int]) -> Iterator[list[str]]:
    """The fields of /proc/<pid>/stat after the name, which may hold blanks."""
    for pid in pids:
        try:
            yield Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
