"""The forge as the cluster sees it: takes the dispatch that Argo Rollouts sends, and runs the handler on its body.

On GitHub a workflow does this (repository_dispatch); what it runs is the same command, `release rollback --event`.
"""

import json
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.e2e.cluster import kubectl
from tests.e2e.repository import Outcome, Repository

NAMESPACE, CONFIGURATION, SECRET = (
    "argo-rollouts",
    "argo-rollouts-notification-configmap",
    "argo-rollouts-notification-secret",
)
URL = "https://api.github.com"
TOKEN = "not a token"
Handle = Callable[[str, bytes, str], Outcome]


class Dispatch(Struct, frozen=True, kw_only=True):
    """A body that came, when, and what the handler made of it."""

    at: float
    path: str
    body: dict[str, Any]
    outcome: Outcome
    ended: float

    def about(self, digest: str) -> bool:
        """Is it about this image?"""
        return str(self.body.get("client_payload", {}).get("image", "")).endswith(f"@{digest}")


class Forge:
    """A server for dispatches; `after` is called after a rollback that merged something (as the forge's webhook is)."""

    def __init__(self, repository: Repository, host: str, after: Callable[[str], Any]) -> None:
        self.repository, self.after = repository, after
        self.dispatches: list[Dispatch] = []
        self.handle: Handle = self._command  # of a path, a body and an Authorization header
        forge = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(204)
                self.end_headers()
                forge.take(self.path, body, self.headers.get("Authorization") or "")

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("0.0.0.0" if host else "127.0.0.1", 0), Handler)
        self._one = threading.Lock()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://{host or '127.0.0.1'}:{self._server.server_port}"

    def connect(self, rendered: str) -> None:
        """Have Argo Rollouts send here what gitops/ has it send to GitHub."""
        assert URL in rendered, f"{URL}: gitops/platform/controllers/notifications names another address"
        apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=gitops", "-f", "-")
        kubectl(*apply, data=rendered.replace(URL, self.address))
        secret = {"stringData": {"github-token": TOKEN}}
        kubectl("-n", NAMESPACE, "patch", "secret", SECRET, "--type=merge", "-p", json.dumps(secret))

    def take(self, path: str, body: bytes, authorization: str) -> None:
        """A dispatch came; one after the other, as a workflow's concurrency has it."""
        at = time.time()
        with self._one:
            outcome = self.handle(path, body, authorization)
            document = json.loads(body)
            self.dispatches.append(Dispatch(at=at, path=path, body=document, outcome=outcome, ended=time.time()))

    def came(self, digest: str, after: float) -> list[Dispatch]:
        """The dispatches about an image."""
        return [each for each in self.dispatches if each.at >= after and each.about(digest)]

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()

    def _command(self, path: str, body: bytes, authorization: str) -> Outcome:
        with tempfile.TemporaryDirectory(prefix="dispatch-") as folder:
            file = Path(folder) / "event.json"
            file.write_bytes(body)
            outcome = self.repository.release("rollback", "--event", str(file), "--merge")
        if "merged into" in outcome.output:
            self.after(outcome.output.partition(":")[0])
        return outcome
