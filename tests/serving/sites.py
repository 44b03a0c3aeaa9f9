"""The applications of both ports over the tiny bundle, asked without a socket."""

import json
from pathlib import Path

from serving import endpoints
from serving.application import served_version
from serving.batching import Batcher
from serving.endpoints import Readiness
from serving.exchange import Request, Response
from serving.limits import Limits
from serving.metrics import Metrics
from serving.runtime import Model
from tests import bundles
from tests.servers import Turns, answer, body

MODEL = "/v2/models/rainy-days"
ROWS = {"station": ["north", None], "temperature": [1.5, None], "hour": [3, 4], "holiday": [True, False]}


class Site:
    """The applications of both ports over the tiny bundle."""

    def __init__(self, store: Path, **options: object) -> None:
        self.bundle = bundles.write(store, **options)
        self.model = Model(self.bundle)
        self.counters = Metrics(self.bundle, served_version(self.bundle))
        self.readiness = Readiness()
        self.readiness.ready = True
        self.turns, limits = Turns(), Limits(rows=100)
        batcher = Batcher(self.model, self.counters, limits, self.turns)
        self.clients = endpoints.inference(self.model, self.counters, self.readiness, limits, batcher)
        self.platform = endpoints.management(self.bundle, self.counters, self.readiness)

    def get(self, path: str, method: str = "GET", headers: dict[bytes, bytes] | None = None) -> Response:
        return answer(self.clients, self.turns, Request(method, path, headers or {}))

    def infer(self, data: bytes, path: str = f"{MODEL}/infer", headers: dict[bytes, bytes] | None = None) -> Response:
        return answer(self.clients, self.turns, Request("POST", path, headers or {}, data))


def tensor(site: Site, which: str, **change: object) -> Response:
    """An inference with one input tensor changed."""
    request = json.loads(body(ROWS))
    for entry in request["inputs"]:
        if entry["name"] == which:
            entry.update(change)
    return site.infer(json.dumps(request).encode())


def problem(response: Response) -> dict:
    """The body of a refusal, after a look at what every refusal has."""
    headers = dict(response.headers)
    document = json.loads(response.body)
    assert headers[b"content-type"] == b"application/problem+json"
    assert document["status"] == response.status
    assert document["error"].endswith(document["detail"])
    assert document["request_id"] == headers[b"x-request-id"].decode()
    return document
