"""A real Prometheus for a while: configured, started, asked, stopped."""

import contextlib
import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml
from msgspec import Struct

from bench.monitoring import rendered

PATIENCE_SECONDS = 30
LABEL_VALUES = re.compile(r"label_values\((.*), (\w+)\)")


class Target(Struct, frozen=True):
    """What is scraped, and with which labels: those that the PodMonitor gives in a cluster."""

    address: str
    labels: dict[str, str]
    honor_labels: bool = False


class Prometheus(Struct, frozen=True):
    """One that is ready."""

    url: str

    def ask(self, what: str, **parameters: Any) -> Any:
        """The data of one of its API's answers; raises ValueError with its own reason."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{what}?{query}", timeout=PATIENCE_SECONDS) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(f"{parameters.get('query', what)}: {json.load(error)['error']}") from error

    def now(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression, now; a number alone is one without labels."""
        found = self.ask("query", query=expression)
        return found["result"] if found["resultType"] == "vector" else [{"metric": {}, "value": found["result"]}]

    def over(self, expression: str, begin: float, end: float, step: float) -> list[dict[str, Any]]:
        """The series of an expression over time."""
        return self.ask("query_range", query=expression, start=begin, end=end, step=step)["result"]

    def parts(self, expression: str) -> Iterator[dict[str, Any]]:
        """The nodes of an expression's tree, from above."""
        yield from _nodes(self.ask("parse_query", query=expression))

    def wait_for(self, expression: str) -> None:
        """Until the expression has a series; raises TimeoutError."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not self.now(expression):
            if time.monotonic() > end:
                raise TimeoutError(f"{expression}: nothing after {PATIENCE_SECONDS} s")
            time.sleep(0.2)


@contextlib.contextmanager
def running(
    folder: Path, targets: Sequence[Target], rules: Sequence[Path] = (), every: str = "1s"
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `targets` and evaluates `rules`, with its data in `folder`; stopped at the end."""
    jobs = [
        {
            "job_name": f"{number}",
            "honor_labels": target.honor_labels,
            "static_configs": [{"targets": [target.address], "labels": target.labels}],
        }
        for number, target in enumerate(targets)
    ]
    globally = {"scrape_interval": every, "evaluation_interval": every, "scrape_timeout": every}
    configuration = {"global": globally, "rule_files": [str(rule) for rule in rules], "scrape_configs": jobs}
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [rendered.program("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address={address}", "--log.level=warn"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _ready(f"http://{address}", process, folder / "log")
        yield Prometheus(f"http://{address}")
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_SECONDS)


@contextlib.contextmanager
def page(text: Callable[[], str]) -> Iterator[str]:
    """A server of one text, as /metrics of something that does not run here. Its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def filled(query: str, choices: Mapping[str, str], window: str) -> str:
    """A dashboard's query as Grafana would send it: `choices` of its variables, `window` for its rate interval."""
    text = query.replace("$__rate_interval", window)
    return re.sub(r"\$(\w+)", lambda name: choices[name[1]], text)


def choices(board: Mapping[str, Any], watching: Prometheus) -> dict[str, str]:
    """What a viewer may choose on a dashboard: for each variable all of its values, as one expression."""
    found = {}
    for variable in board["templating"]["list"]:
        if variable["type"] == "query" and (asked := LABEL_VALUES.fullmatch(variable["query"]["query"])):
            values = watching.ask(f"label/{asked[2]}/values", **{"match[]": asked[1]})
            found[variable["name"]] = "|".join(re.escape(value).replace("\\", "\\\\") for value in values)
    return found


def _ready(url: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/-/ready", timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError(f"prometheus: is not ready: {log.read_text()[-2000:]}")


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "type" in node:
            yield node
        for value in node.values():
            yield from _nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _nodes(value)
