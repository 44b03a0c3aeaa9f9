"""The clients. Also on its own, with Locust's pages:

LOADTEST_BUNDLE=data/bundles/<16 hex> locust -f loadtests/locustfile.py --host http://127.0.0.1:8080

LOADTEST_ROWS (1) are the rows of a request, LOADTEST_SEED (1) decides which requests are sent.
"""

import os
from pathlib import Path
from random import Random

from locust import FastHttpUser, constant, task

from contracts import bundle
from loadtests.payloads import payloads, wrong

DIGEST = "X-Bundle-Digest"


class WrongAnswerError(Exception):
    """An answer that came in time and is not right."""


class Client(FastHttpUser):
    """Asks again as soon as it is answered, over one connection."""

    wait_time = constant(0)
    connection_timeout = network_timeout = 10.0

    def on_start(self) -> None:
        """Read the bundle once for all clients."""
        if not hasattr(Client, "payloads"):
            Client.bundle = bundle.load(Path(os.environ["LOADTEST_BUNDLE"]))
            Client.seed = int(os.environ.get("LOADTEST_SEED", "1"))
            Client.payloads = payloads(Client.bundle, int(os.environ.get("LOADTEST_ROWS", "1")), Client.seed)
            Client.number = 0
        Client.number += 1
        self.random = Random(f"{Client.seed} {Client.number}")

    @task
    def infer(self) -> None:
        """One prediction; right when it is one, from this bundle, and for golden rows the golden one."""
        payload = self.payloads.choose(self.random)
        path = f"/v2/models/{self.bundle.manifest.name}/infer"
        with self.client.post(
            path,
            data=payload.body,
            headers={"Content-Type": "application/json"},
            name="infer",
            context={"golden": payload.expected is not None},
            catch_response=True,
        ) as response:
            if response.status_code != 200:
                response.failure(f"status {response.status_code}")
            elif response.headers.get(DIGEST) != self.bundle.digest:
                response.failure(WrongAnswerError("another bundle answered"))
            elif payload.expected is not None and (reason := wrong(self.bundle, payload.expected, response.content)):
                response.failure(WrongAnswerError(reason))
