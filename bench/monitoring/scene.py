"""A release as a monitor sees it: two versions that are asked, the controller's page, and a Prometheus that watches."""

import contextlib
import http.client
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

from msgspec import Struct

from bench.monitoring import moody, prometheus, rendered
from bench.monitoring.prometheus import Prometheus, Target
from bench.monitoring.rendered import Monitoring
from bench.reliability import processes

STABLE, CANARY = "5kxz8wqn4m", "7vjh9tsp6r"  # pod template hashes, as they look


class Traffic(Struct, frozen=True, kw_only=True):
    """Requests a second to one server; the shares and the shift of `moody.requests`."""

    requests: float
    failing: float = 0.0
    numberless: float = 0.0
    warmer: float = 0.0


class Scene(Struct, frozen=True):
    """What goes on. `controller` gives the page of the Argo Rollouts controller, as it is now."""

    stable: Traffic
    canary: Traffic
    controller: Callable[[], str]


@contextlib.contextmanager
def playing(scene: Scene, monitoring: Monitoring, folder: Path, every: str = "1s") -> Iterator[Prometheus]:
    """A Prometheus that watches the scene with the rendered rules, all of them evaluated `every` so often."""
    store = folder / "bundles"
    first, second = moody.write(store), moody.write(store, "2", shift=0.4)
    rules = rendered.write(monitoring, folder / "rules.yml", interval=every)
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        # Two workers and a shadow, and one process: all that a server can export.
        stable = enter(_server(first.path, folder / "stable.log", "--workers", "2", "--shadow", str(second.path)))
        canary = enter(_server(second.path, folder / "canary.log", "--maximum-connections", "1"))
        controller = enter(prometheus.page(lambda: _moved(scene.controller(), monitoring.namespace)))
        targets = [
            _target(monitoring.namespace, f"model-{hash_}-{pod}", hash_, server)
            for hash_, pod, server in ((STABLE, "x7k2p", stable), (CANARY, "m4q9z", canary))
        ]
        # The second once more, as a pod that has no hash: what a shadow of its own exports.
        targets.append(_target(monitoring.namespace, "model-shadow-t3v8c", "", canary))
        targets.append(Target(controller, {"namespace": "argo-rollouts"}, honor_labels=True))
        watching = enter(prometheus.running(folder, targets, [rules], every))
        stop = Event()
        threads = [
            Thread(target=_ask, args=(server.port, traffic, number, stop))
            for number, (server, traffic) in enumerate(((stable, scene.stable), (canary, scene.canary)))
        ]
        threads.append(Thread(target=_crowd, args=(canary.port, stop)))
        for thread in threads:
            thread.start()
        try:
            yield watching
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def _moved(page: str, namespace: str) -> str:
    """The page as it would be of a Rollout in this namespace."""
    return re.sub(r'namespace="[^"]*"', f'namespace="{namespace}"', page)


class _Server(Struct, frozen=True):
    process: subprocess.Popen
    port: int
    management: int


@contextlib.contextmanager
def _server(bundle: Path, log: Path, *arguments: str) -> Iterator[_Server]:
    """A server whose log goes to a file: nobody reads it here, and a pipe would fill up with its errors."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            processes.command(bundle, *arguments), cwd=rendered.ROOT, text=True, stdout=subprocess.PIPE, stderr=errors
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready "), log.read_text()
        said = dict(pair.split("=", 1) for pair in line.split()[1:])
        port, management = (int(said[name].rpartition(":")[2]) for name in ("url", "management"))
        yield _Server(process, port, management)
    finally:
        processes.end(process)


def _target(namespace: str, pod: str, hash_: str, server: _Server) -> Target:
    labels = {"namespace": namespace, "pod": pod, "container": "server", "rollouts_pod_template_hash": hash_}
    return Target(f"127.0.0.1:{server.management}", labels)


def _ask(port: int, traffic: Traffic, seed: int, stop: Event) -> None:
    """Ask until told to stop, as often as said, over one connection; every twentieth request is none that is known."""
    bodies = moody.requests(seed, traffic.failing, traffic.numberless, traffic.warmer)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    due = time.monotonic()
    for number, body in enumerate(bodies):
        if stop.wait(max(0.0, due - time.monotonic())):
            break
        due += 1 / traffic.requests
        path = "infer" if number % 20 else "nothing"
        connection.request("POST", f"/v2/models/{moody.NAME}/{path}", body)
        connection.getresponse().read()
    connection.close()


def _crowd(port: int, stop: Event) -> None:
    """Be one connection too many, every half second: 503, too_many_connections."""
    while not stop.wait(0.5):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with contextlib.suppress(OSError):  # the end of a connection that was never wanted
            connection.request("GET", "/v2")
            connection.getresponse().read()
        connection.close()
