"""GitHub as the cluster sees it: a dispatch starts the repository's own rollback workflow, which act runs.

The dispatch goes as it came, with its token, to the stand-in of GitHub's interface (tests/github), which stands before the
bare repository that Argo CD reads and holds it against GitHub's own description. Then act runs `rollback-dispatch` on what
GitHub makes of it, and the workflow opens and merges a pull request at the stand-in.
"""

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e import forge
from tests.e2e.repository import Outcome, Repository
from tests.github.faults import AFTER
from tests.github.hub import APP, Hub, Token
from tests.workflows import act, payloads

APP_TOKEN = "token-of-the-app"
SECRETS = {"RELEASE_APP_PRIVATE_KEY": "a key", "GITHUB_TOKEN": "token-of-the-run"}  # pragma: allowlist secret
SECONDS = 240  # that the workflow may take


class Actions:
    """Takes dispatches in the place of the command; `after` is told as soon as a pull request is merged."""

    def __init__(self, repository: Repository, hub: Hub, folder: Path, after: Callable[[], Any]) -> None:
        self.repository, self.hub, self.folder, self.after = repository, hub, folder, after
        self.runs: list[act.Run] = []
        self.began: list[float] = []
        self.merged: list[float] = []
        hub.tokens = {
            forge.TOKEN: Token("cluster", may={"contents": "write"}),
            APP_TOKEN: Token("release-app[bot]", app=APP),
        }
        hub.faults.watch = self._asked
        place = folder / "forge" / hub.full_name
        place.parent.mkdir(parents=True)
        place.symlink_to(repository.origin)

    def __call__(self, path: str, body: bytes, authorization: str) -> Outcome:
        """A dispatch came."""
        begun = time.monotonic()
        kinds = {"Authorization": authorization, "Content-Type": "application/json"}
        asked = urllib.request.Request(f"{self.hub.url}{path}", data=body, headers=kinds, method="POST")
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.status == 204
        self.began.append(time.time())
        run = self._run(json.loads(body))
        self.runs.append(run)
        return Outcome(run.code, run.text, "", time.monotonic() - begun)

    def _run(self, body: dict[str, Any]) -> act.Run:
        slug = self.hub.full_name
        about = {"branch": "main", "client_payload": body["client_payload"], "repository": payloads.repository(slug)}
        event = payloads.payload("repository_dispatch", **about) | {"action": body["event_type"]}
        clone = self.folder / f"checkout-{len(self.began)}"
        for command in (
            ("clone", "-q", str(self.repository.origin), str(clone)),
            ("-C", str(clone), "remote", "set-url", "origin", f"https://github.com/{slug}"),
        ):
            subprocess.run(["git", *command], check=True)
        runner = act.Runner(
            clone=clone,
            origin=self.folder / "forge",
            slug=slug,
            home=self.folder / "home",
            variables={"RELEASE_APP_CLIENT_ID": "Iv1.app"},
            secrets=SECRETS,
            environment={"VENV": sys.prefix, "APP_TOKEN": APP_TOKEN, "GITHUB_API_URL": self.hub.url},
        )
        return runner.run("rollback-dispatch", "repository_dispatch", event, seconds=SECONDS)

    def _asked(self, line: str, moment: str) -> None:
        """GitHub's webhook tells Argo CD of what was merged, not the workflow's end."""
        asked = moment == AFTER and re.fullmatch(r"PUT .*/pulls/\d+/merge", line)
        if asked and sum(bool(pull.merged) for pull in self.hub.pulls.values()) > len(self.merged):
            self.merged.append(time.time())
            self.after()
