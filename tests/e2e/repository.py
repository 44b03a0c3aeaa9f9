"""The platform team's repository: a scratch clone with its bare origin, as Argo CD reads it, and the commands run in it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from contracts import budgets
from contracts.budgets import Budgets
from release import pin

BUDGETS = "conf/base/budgets.yml"
# What takes hours in production takes seconds here; what is judged, and how, stays. CPU and memory fit a small node.
FAST: dict[str, Any] = {
    "drain": {"endpoint_lag_seconds": 4, "in_flight_seconds": 6, "margin_seconds": 4},
    "scaling": {"cpu": "200m", "memory": "256Mi", "minimum_replicas": 4, "maximum_replicas": 4},
    "canary": {
        "weights": [25, 50],
        "initial_delay_seconds": 6,
        "interval_seconds": 3,
        "failure_limit": 1,
        "window_seconds": 10,
        "minimum_requests": 100,
        "patience_minutes": 1,
        "progress_deadline_seconds": 45,
    },
    "comparison": {"minutes": 1},
    "blue_green": {"observe_seconds": 15, "keep_seconds": 120},
    "monitoring": {"scrape_seconds": 2},
    "drift": {"minimum_rows": 200},
}
ROUTING = r"strategy-|traffic-gateway-api|shadow|e2e/"
AUTOSCALER = "HorizontalPodAutoscaler"
UNMEASURED = f"""\
apiVersion: autoscaling/v2
kind: {AUTOSCALER}
metadata:
  name: model
  annotations:
    argocd.argoproj.io/ignore-healthcheck: "true"
"""
ONE_ENVIRONMENT = {  # staging is where it is tried; production has to fit beside it
    "staging": {"service": {"throughput_rps": 200}},
    "production": {"scaling": {"minimum_replicas": 1, "maximum_replicas": 2}},
}


class Outcome(Struct, frozen=True):
    """What a command left."""

    code: int
    output: str
    error: str
    seconds: float

    @property
    def last_line(self) -> str:
        lines = [line for line in (self.output + self.error).splitlines() if line.strip()]
        return lines[-1].strip() if lines else ""


class Repository:
    """A clone in which the platform team works."""

    def __init__(self, root: Path, origin: Path, url: str) -> None:
        self.root, self.origin, self.url = root, origin, url

    @classmethod
    def at(cls, folder: Path, host: str) -> "Repository":
        """The one in a folder; `host` is where pods reach its origin."""
        origin = folder / "origin.git"
        return cls(folder / "repository", origin, f"git://{host}/origin.git" if host else f"file://{origin}")

    @classmethod
    def clone(cls, source: Path, folder: Path, host: str) -> "Repository":
        """What `source` has committed, in a clone with an origin of its own."""
        made = cls.at(folder, host)
        root, origin = made.root, made.origin
        folder.mkdir(parents=True)
        subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(source), str(root)], check=True)
        for key, value in (
            ("user.name", "platform"),
            ("user.email", "platform@localhost"),
            ("commit.gpgsign", "false"),
        ):
            made.git("config", key, value)
        made.git("checkout", "-q", "-B", "main")
        made.git("remote", "remove", "origin")
        subprocess.run(["git", "clone", "-q", "--bare", str(root), str(origin)], check=True)
        (origin / "git-daemon-export-ok").touch()
        made.git("remote", "add", "origin", str(origin))
        return made

    @contextmanager
    def served(self, host: str) -> Iterator[None]:
        """The origin, for pods that know this machine as `host`; without one the controllers read it as a file."""
        if not host:
            yield
            return
        place = self.origin.parent
        command = ["git", "daemon", f"--base-path={place}", "--reuseaddr", "--listen=0.0.0.0", str(place)]
        with subprocess.Popen(command) as daemon:
            try:
                yield
            finally:
                daemon.terminate()

    def settle(self, pull: str, measured: bool) -> None:
        """The origin's address, fast budgets and the registry's name as the nodes know it: one commit, pushed.

        Where nobody measures pods (no metrics-server), the autoscaler's health is left out of Argo CD's: it would be
        Degraded for ever.
        """
        project = self.root / "gitops/argocd/appproject.yaml"
        repository = yaml.safe_load(project.read_text())["spec"]["sourceRepos"][0]
        image = self.image
        for file in sorted((self.root / "gitops").rglob("*.yaml")):
            text = file.read_text()
            changed = text.replace(repository, self.url)
            if pull:
                changed = changed.replace(image, f"{pull}/{image.partition('/')[2]}")
            if changed != text:
                file.write_text(changed)
        if not measured:
            for file in (self.root / "gitops/envs").glob("*/kustomization.yaml"):
                document = yaml.safe_load(file.read_text())
                document.setdefault("patches", []).append({"target": {"kind": AUTOSCALER}, "patch": UNMEASURED})
                file.write_text(yaml.safe_dump(document, sort_keys=False))
        document = yaml.safe_load((self.root / BUDGETS).read_text())
        merge(document, FAST)
        document["environments"] = ONE_ENVIRONMENT
        (self.root / BUDGETS).write_text(yaml.safe_dump(document, sort_keys=False))
        self.rendered("Fast budgets for a cluster to try it on")

    def rendered(self, why: str) -> None:
        """`make render`, a commit of everything that changed, and a push."""
        self.done("render")
        self.commit(why)

    def commit(self, why: str) -> str:
        """Commit what lies in the clone and push it; gives the commit."""
        self.git("add", "-A", "gitops", "conf")
        self.git("commit", "-q", "--allow-empty", "-m", why)
        self.git("push", "-q", "origin", "main")
        return self.git("rev-parse", "HEAD")

    def choose(self, environment: str, *components: str) -> None:
        """Put components in the place of the strategy in an environment's list; not yet committed."""
        file = self.root / "gitops/envs" / environment / "kustomization.yaml"
        document = yaml.safe_load(file.read_text())
        kept = [name for name in document["components"] if not re.search(ROUTING, name)]
        document["components"] = [*components, *kept]
        file.write_text(yaml.safe_dump(document, sort_keys=False))

    @property
    def image(self) -> str:
        """The name under which nodes pull."""
        content = yaml.safe_load((self.root / pin.path("staging")).read_text())
        return content["images"][0]["newName"]

    def namespace(self, environment: str) -> str:
        """Where an environment lives."""
        file = self.root / "gitops/envs" / environment / "kustomization.yaml"
        return yaml.safe_load(file.read_text())["namespace"]

    def budgets(self, environment: str) -> Budgets:
        """What good enough means there."""
        return budgets.load(self.root / BUDGETS, environment)

    def line(self, environment: str) -> str:
        """What the origin says runs in an environment."""
        return str(pin.read(self.truth("show", f"main:{pin.path(environment)}").encode(), environment))

    def truth(self, *arguments: str) -> str:
        """git in the origin."""
        done = subprocess.run(["git", *arguments], cwd=self.origin, check=True, capture_output=True, text=True)
        return done.stdout

    def git(self, *arguments: str) -> str:
        """git in the clone."""
        done = subprocess.run(["git", *arguments], cwd=self.root, check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def release(self, *arguments: str, data: str | None = None) -> Outcome:
        """`python -m release` in the clone, whatever its exit code."""
        begun = time.monotonic()
        environment = {**os.environ, "PYTHONPATH": str(self.root)}
        command = [sys.executable, "-m", "release", *arguments]
        done = subprocess.run(
            command, cwd=self.root, env=environment, input=data, capture_output=True, text=True, check=False
        )
        return Outcome(done.returncode, done.stdout, done.stderr, time.monotonic() - begun)

    def done(self, *arguments: str) -> Outcome:
        """`python -m release`, which has to succeed."""
        outcome = self.release(*arguments)
        assert outcome.code == 0, f"release {' '.join(arguments)}: {outcome.output}{outcome.error}"
        return outcome


def merge(document: dict[str, Any], changes: dict[str, Any]) -> None:
    """Put nested changes into a nested document."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(document.get(key), dict):
            merge(document[key], value)
        else:
            document[key] = value
