"""Several workers: real processes, killed, stopped and asked at the worst moments."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contracts.bundle import Bundle
from serving.__main__ import main
from serving.metrics import Histogram, Metrics
from serving.workers import patience
from serving.workers.board import ABSENT, READY, Board
from serving.workers.seat import COURTESIES, Seat
from tests import bundles, servers
from tests.servers import Running, body

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="workers are looked at through /proc")

INFER = "/v2/models/rainy-days/infer"
ROWS = {"station": ["north", None], "temperature": [1.5, None], "hour": [3, 4], "holiday": [True, False]}
ANSWERED = 'ml_inference_requests_total{route="infer",code="200"}'


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundles.write(tmp_path_factory.mktemp("store"))


@pytest.fixture
def service(bundle: Bundle) -> Iterator[Running]:
    with servers.running(bundle.path, "--workers", "2") as running:
        yield running


def children(pid: int) -> list[int]:
    """The processes that a process has started, in the order of their start."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers(service: Running) -> list[int]:
    """Those that answer clients: of the service's ports, the one for clients is open in them."""
    return [pid for pid in children(service.process.pid) if sockets(pid, "0A") == [service.port]]


def sockets(pid: int, state: str) -> list[int]:
    """The local ports of a process's sockets in a state: "0A" listening, "01" connected."""
    own = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            own.add(str(descriptor.readlink()))
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    mine = [line for line in lines if line[3] == state and f"socket:[{line[9]}]" in own]
    return [int(line[1].rpartition(":")[2], 16) for line in mine]


def lives(pid: int) -> bool:
    """Whether a process is there and not only waits to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.01)


def ready(service: Running) -> bool:
    """Whether the service wants requests."""
    with contextlib.suppress(urllib.error.HTTPError):
        return urllib.request.urlopen(f"{service.management}/v2/health/ready").status == 200
    return False


def answered_by(service: Running) -> float:
    """How many requests the service says it has answered."""
    return service.metrics().get(ANSWERED, 0.0)


class Client:
    """A client on one connection."""

    def __init__(self, service: Running) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)

    def ask(self) -> bool:
        """Ask once; whether the server wants the connection to go on."""
        self._connection.request("POST", INFER, body(ROWS))
        answer = self._connection.getresponse()
        data = answer.read()
        assert answer.status == 200, data
        assert len(json.loads(data)["outputs"][0]["data"]) == 2
        return answer.getheader("connection") != "close"

    def again(self) -> None:
        """On a new connection from now on."""
        self._connection.close()


def waiting(service: Running, count: int) -> list[socket.socket]:
    """Connections with a request sent on each, whether or not anybody has accepted them."""
    data = body(ROWS)
    head = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    connections = [socket.create_connection(("127.0.0.1", service.port), timeout=20) for _ in range(count)]
    for connection in connections:
        connection.sendall(head + data)
    return connections


def answered(connection: socket.socket) -> bool:
    return connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_one_worker_needs_no_other_process(bundle: Bundle) -> None:
    with servers.running(bundle.path) as server:
        assert children(server.process.pid) == []


def test_connections_are_spread_evenly_and_all_answers_are_counted_in_one_place(service: Running) -> None:
    clients = [Client(service) for _ in range(10)]
    for _ in range(5):
        for client in clients:
            client.ask()
    page = service.metrics()
    assert page[ANSWERED] == 50
    assert page["ml_inference_duration_seconds_count{}"] == 50
    assert page["ml_inference_batch_size_sum{}"] == 100
    assert page["ml_workers{}"] == 2
    until(lambda: service.metrics()["ml_inference_connections{}"] == 10)
    until(lambda: service.metrics()['ml_feature_bin_total{feature="station",bin="north"}'] == 50)
    spread = [sockets(pid, "01").count(service.port) for pid in workers(service)]
    assert sum(spread) == 10
    assert min(spread) >= 3  # 5 unless a worker got no processor for some time
    assert 0 < page["process_cpu_seconds_total"] < 60
    assert page["process_open_fds"] > 20


def test_what_a_killed_worker_had_counted_is_counted_once(service: Running) -> None:
    asked = 0
    for killed in range(3):
        clients = [Client(service) for _ in range(4)]
        for client in clients:
            for _ in range(5):
                client.ask()
                asked += 1
        assert service.metrics()[ANSWERED] == asked
        os.kill(workers(service)[0], signal.SIGKILL)
        assert service.metrics()[ANSWERED] == asked
        until(lambda killed=killed: service.metrics()["ml_worker_restarts_total{}"] == killed + 1)
        until(lambda: ready(service))
    assert service.metrics()[ANSWERED] == asked
    assert len(workers(service)) == 2


def test_a_killed_worker_takes_with_it_only_what_it_was_answering(service: Running) -> None:
    stop = threading.Event()

    def ask() -> tuple[int, int]:
        client, right, lost = Client(service), 0, 0
        while not stop.is_set():
            try:
                client.ask()
                right += 1
            except (ConnectionError, http.client.HTTPException):
                lost += 1
                client.again()
        return right, lost

    kills = 3
    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(ask) for _ in range(8)]
        try:
            for kill in range(kills):
                before = answered_by(service)
                until(lambda before=before: answered_by(service) > before + 50)
                os.kill(workers(service)[-1], signal.SIGKILL)
                until(lambda kill=kill: service.metrics()["ml_worker_restarts_total{}"] == kill + 1)
        finally:
            stop.set()
        right, lost = (sum(results) for results in zip(*(client.result() for client in clients), strict=True))
    # One request at a time on each connection: no connection can lose more than one for each kill.
    assert lost <= 8 * kills
    assert right <= service.metrics()[ANSWERED] <= right + lost


def test_who_had_connected_when_a_worker_died_is_answered_by_another(service: Running) -> None:
    one, other = workers(service)
    for pid in (one, other):
        os.kill(pid, signal.SIGSTOP)  # so that nobody is accepted
    clients = waiting(service, 30)
    os.kill(one, signal.SIGKILL)
    os.kill(other, signal.SIGCONT)
    assert all(map(answered, clients))


def test_while_a_worker_is_missing_the_service_is_not_ready_and_the_others_answer(service: Running) -> None:
    os.kill(workers(service)[0], signal.SIGKILL)
    until(lambda: service.metrics()["ml_worker_restarts_total{}"] == 1)
    until(lambda: ready(service))
    os.kill(workers(service)[-1], signal.SIGKILL)  # the same one again; this time is waited for
    until(lambda: not ready(service))
    assert Client(service).ask()
    assert service.metrics()["ml_workers{}"] == 1
    until(lambda: ready(service))


# Seconds, where the command line has half a minute.
IMPATIENT = """
import sys
from serving import __main__ as server
from serving.workers import supervisor
patient = supervisor.Service
supervisor.Service = lambda **settings: patient(**settings, stuck_seconds=3.0, grace_seconds=1.0)
sys.exit(server.main(sys.argv[1:]))
"""


@contextlib.contextmanager
def impatient(bundle: Bundle, *arguments: str) -> Iterator[Running]:
    """A service that waits for nobody."""
    command = [servers.python(), "-c", IMPATIENT, "--bundle", bundle.path, "--workers", "2", *arguments]
    command += ["--port", "0", "--management-port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=servers.ROOT, text=True, stdout=pipe, stderr=pipe) as process:
        said = dict(pair.split("=", 1) for pair in process.stdout.readline().split()[1:])
        try:
            yield Running(process, said["url"], said["management"], said["digest"])
        finally:
            process.terminate()


def test_a_worker_that_stands_still_is_replaced(bundle: Bundle) -> None:
    with impatient(bundle) as service:
        stuck, _ = workers(service)
        os.kill(stuck, signal.SIGSTOP)
        until(lambda: not lives(stuck))
        until(lambda: ready(service) and service.metrics()["ml_worker_restarts_total{}"] == 1)
        service.process.terminate()
        assert service.process.communicate(timeout=20)[1].splitlines() == [
            "ERROR serving.workers.supervisor worker 0 has stood still for 3 s and is killed",
            "ERROR serving.workers.supervisor worker 0 ended with signal 9; it is started again in 0 s",
        ]
        assert service.process.returncode == 0


def test_the_management_port_comes_back(service: Running) -> None:
    management = children(service.process.pid)[-1]
    until(lambda: sockets(management, "0A") == [int(service.management.rpartition(":")[2])])
    Client(service).ask()
    os.kill(management, signal.SIGKILL)
    assert service.metrics()[ANSWERED] == 1  # who connects meanwhile waits
    assert ready(service)


@pytest.mark.parametrize(("number", "uvloop"), [(signal.SIGTERM, True), (signal.SIGINT, True), (signal.SIGTERM, False)])
def test_told_to_stop_all_finish_and_nobody_is_lost(bundle: Bundle, number: int, uvloop: bool) -> None:
    def ask(service: Running) -> bool:
        client = Client(service)
        while client.ask():
            pass
        return True

    with servers.running(bundle.path, "--workers", "2", "--drain-seconds", "30", uvloop=uvloop) as service:
        processes = children(service.process.pid)
        with ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(ask, service) for _ in range(8)]
            try:
                until(lambda: answered_by(service) > 100)
            finally:
                service.process.send_signal(number)
            assert service.process.stdout.readline() == "draining seconds=30\n"
            assert not ready(service)
            assert all(client.result() for client in clients)
        assert not Client(service).ask()  # answered, and told to go elsewhere
        service.process.send_signal(number)  # no need to wait for routers
        output, errors = service.process.communicate(timeout=20)
        assert (service.process.returncode, output, errors) == (0, "stopped cut_off=0\n", "")
        assert not any(map(lives, processes))


def test_who_has_connected_before_the_port_closes_is_answered(service: Running) -> None:
    for pid in workers(service):
        os.kill(pid, signal.SIGSTOP)
    clients = waiting(service, 50)
    service.process.terminate()
    assert service.process.stdout.readline().startswith("draining ")
    for pid in workers(service):
        os.kill(pid, signal.SIGCONT)
    assert all(map(answered, clients))
    assert service.process.communicate(timeout=20) == ("stopped cut_off=0\n", "")
    assert service.process.returncode == 0


def test_a_worker_that_does_not_end_is_ended(bundle: Bundle) -> None:
    with impatient(bundle, "--in-flight-seconds", "0") as service:
        processes = children(service.process.pid)
        os.kill(workers(service)[0], signal.SIGSTOP)
        service.process.terminate()
        _, errors = service.process.communicate(timeout=20)
        assert service.process.returncode == 1
        assert errors == "ERROR serving.workers.supervisor worker 0 did not end in time and is killed\n"
        assert not any(map(lives, processes))


def test_when_the_supervisor_is_killed_the_workers_finish_and_go(service: Running) -> None:
    processes = children(service.process.pid)
    client = Client(service)
    assert client.ask()
    service.process.kill()
    until(lambda: not any(map(lives, processes)))
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", service.port)).close()


def test_what_is_refused_is_refused_in_one_line_and_leaves_nobody(bundle: Bundle, tmp_path: Path) -> None:
    golden = json.loads((bundle.path / "golden.json").read_text())
    golden["outputs"]["probability"][0] = 0.123
    changed = tmp_path / "changed"
    changed.mkdir()
    for file in bundle.path.iterdir():
        (changed / file.name).write_bytes(file.read_bytes())
    (changed / "golden.json").write_text(json.dumps(golden))
    process = servers.start(changed, "--workers", "3")
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors.count("\n")) == (2, "", 1)
    assert "golden.json: probability: row 0 differs" in errors
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = servers.start(bundle.path, "--workers", "2", ports=(0, taken.getsockname()[1]))
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors.count("\n")) == (2, "", 1)
    assert "port: is in use" in errors


def test_a_port_that_each_worker_would_take_anew_is_refused(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bundle", str(bundle.path), "--workers", "2", "--grpc-port", "0"]) == 2
    assert capsys.readouterr().err.startswith("arguments: --grpc-port: 0 would be another port in each worker; ")


def test_a_worker_counts_what_the_board_has_room_for(bundle: Bundle) -> None:
    counters, others = Metrics(bundle, "1"), Metrics(bundle, "1")
    others.extend(Histogram((1.0,)))
    board = Board(1, counters.sheet.bytes)
    seat = Seat(board, 0, None, -1, -1)
    seat.count(counters)
    counters.answered("infer", 200)
    counters.sheet.total([board.places[0].sheet])
    assert counters.requests == {("infer", 200): 1}
    with pytest.raises(ValueError, match="other counters"):
        seat.count(others)


def test_what_keeps_dying_is_started_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(patience, "monotonic", lambda: now[0])
    waits = patience.Patience()
    assert [waits.wait() for _ in range(9)] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    waits.began()
    now[0] += 60.0  # it lived
    assert waits.wait() == 0.0


def test_a_client_is_left_to_a_worker_with_fewer_but_not_for_long() -> None:
    board = Board(3, 8)
    seats = [Seat(board, number, None, -1, -1) for number in range(3)]
    for place in board.places[:2]:
        place.state = READY
    assert not seats[0].share(1)
    board.places[1].connections = 4
    assert seats[0].share(4)
    assert not seats[1].share(5)
    assert [seats[1].share(5) for _ in range(COURTESIES)] == [False] * (COURTESIES - 1) + [True]
    board.places[0].leave()
    assert board.places[0].state == ABSENT
    assert seats[1].share(9)  # alone now; 2 is not there yet
