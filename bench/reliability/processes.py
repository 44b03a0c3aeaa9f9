"""Servers as processes, in the environment they are shipped with, and nginx in front of them."""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from contracts.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
ESTABLISHED, LISTENING = "01", "0A"  # as /proc/net/tcp has them
LABELS = re.compile(r'(model|version)="[^"]*",?')


class Server(Struct, frozen=True):
    """A server that said it is ready."""

    process: subprocess.Popen
    port: int
    management: int
    digest: str
    seconds: float  # from start to ready

    @property
    def pid(self) -> int:
        return self.process.pid

    def metrics(self) -> dict[str, float]:
        """Its metrics, `name{labels}` -> value, without the labels that all have."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.management}/metrics", timeout=10) as answer:
            lines = [line.rpartition(" ") for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {LABELS.sub("", name): float(value) for name, _, value in lines}

    def stop(self, patience: float = 30.0) -> tuple[int, str]:
        """SIGTERM, and wait: the exit code and what it said last."""
        self.process.send_signal(signal.SIGTERM)
        output, errors = self.process.communicate(timeout=patience)
        return self.process.returncode, (errors or output).strip().rpartition("\n")[2]


def command(bundle: Path, *arguments: str) -> list[str]:
    """`python -m serving` for this bundle, on free ports."""
    python = ROOT / os.environ.get("VENV_SERVE", ".venv-serve") / "bin" / "python"
    if not python.exists():
        raise InputError(f"{python}: the environment serve is missing; run `make setup`")
    ports = ["--port", "0", "--management-port", "0"]
    return [str(python), "-m", "serving", "--bundle", str(bundle), *ports, *arguments]


def start(bundle: Path, *arguments: str, core: int | None = None) -> Server:
    """A server, once it is ready; on one core where one is named."""
    begun = time.perf_counter()
    process = launch(command(bundle, *arguments))
    if core is not None:
        pin(core, process.pid)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("ready "):
        _, errors = process.communicate(timeout=30)
        raise InputError(f"{bundle}: the server did not start: {(line + errors).strip()}; run it by hand")
    said = dict(pair.split("=", 1) for pair in line.split()[1:])
    port, management = (int(said[name].rpartition(":")[2]) for name in ("url", "management"))
    return Server(process, port, management, said["digest"], time.perf_counter() - begun)


def launch(line: list[str], memory: int = 0) -> subprocess.Popen:
    """A process of this project; `memory` bounds its address space, in bytes."""
    limit = (lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory))) if memory else None
    pipe = subprocess.PIPE
    return subprocess.Popen(line, cwd=ROOT, text=True, stdout=pipe, stderr=pipe, preexec_fn=limit)


@contextmanager
def serving(bundle: Path, *arguments: str, core: int | None = None) -> Iterator[Server]:
    """A server for a while; it is stopped at the end, whatever happened."""
    server = start(bundle, *arguments, core=core)
    try:
        yield server
    finally:
        end(server.process)


def end(process: subprocess.Popen) -> None:
    """Stop a process and those that it started, if they still run."""
    family = [*descendants(process.pid), process.pid]
    for pid in family:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate(timeout=10)


def pin(core: int, pid: int = 0) -> None:
    """Keep a process on one core, where there are several and the system can."""
    if hasattr(os, "sched_setaffinity") and core < (os.cpu_count() or 1):
        os.sched_setaffinity(pid, {core})


def unpin(pid: int = 0) -> None:
    """Let a process run wherever there is room."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, set(range(os.cpu_count() or 1)))


def knows(flag: str) -> bool:
    """Whether the server has this flag."""
    said = subprocess.run([*command(Path("none"))[:3], "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    return flag in said.stdout.split()


# --- what the kernel says about a process


def memory(pid: int) -> float:
    """Resident memory in megabytes, shared pages included."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def descriptors(pid: int) -> int:
    """Open file descriptors."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def cpu(pid: int) -> float:
    """Seconds of processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def started(pid: int) -> int:
    """When a process was started, in the kernel's ticks."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they started."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *descendants(child)]
    return found


def ports(pid: int) -> set[int]:
    """The remote ports of a process's TCP connections."""
    return {remote for _, remote, state in _sockets(pid) if state == ESTABLISHED}


def listening(pid: int) -> set[int]:
    """The ports that a process listens on."""
    return {local for local, _, state in _sockets(pid) if state == LISTENING}


def _sockets(pid: int) -> list[tuple[int, int, str]]:
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            name = str(entry.readlink())
        except FileNotFoundError:
            continue
        if name.startswith("socket:["):
            inodes.add(name[8:-1])
    lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    mine = [line for line in lines if line[9] in inodes]
    return [(_port(line[1]), _port(line[2]), line[3]) for line in mine]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


# --- nginx


CONFIGURATION = """daemon off; master_process on; worker_processes 1; pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_next_upstream off;
    }}
  }}
}}
"""


class Nginx:
    """A router in front of one server at a time; it does not try a second time what went wrong."""

    def __init__(self, upstream: int) -> None:
        self._program = program("nginx")
        self._folder = Path(tempfile.mkdtemp(prefix="nginx-"))
        self._folder.chmod(0o755)  # nginx's worker is another user where its master is root
        self.port = free_port()
        self._write(upstream)
        line = [self._program, "-p", str(self._folder), "-c", "nginx.conf"]
        self._process = subprocess.Popen([*line, "-e", "stderr"], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not (self._folder / "pid").exists() or not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise InputError("nginx: did not start; run it by hand with a small configuration")
            time.sleep(0.02)

    def route(self, upstream: int) -> None:
        """Send what comes from here on to this port. What is under way ends where it began."""
        self._write(upstream)
        self._process.send_signal(signal.SIGHUP)

    def close(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, upstream: int) -> None:
        text = CONFIGURATION.format(folder=self._folder, upstream=upstream, port=self.port)
        (self._folder / "nginx.conf").write_text(text)


def program(name: str) -> str:
    """Where a program lies; raises InputError when it is not installed."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise InputError(f"{name}: is not installed; it is {name}-light on Debian")
    return found


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
