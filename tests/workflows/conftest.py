import dataclasses
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from release import pin as pins
from tests import bundles as tiny
from tests.github import hub as forge
from tests.github.server import running as github_running
from tests.release import workshop
from tests.workflows import act, registry
from tests.workflows.site import Site, git, seed

NAME = "models/tiny"
TOKEN = "token-of-the-app"
RUNS = "token-of-the-run"
SECRETS = {"RELEASE_APP_PRIVATE_KEY": "a key", "GITHUB_TOKEN": RUNS}  # pragma: allowlist secret
# Hooks of `make lint` that take more than a moment; `make lint` itself is a test of tests/template.
HOOKS = (
    "ruff-check,ruff-format,mypy,yamllint,workflow-schema,actionlint,zizmor,secrets,places,end-of-file,"
    "trailing-whitespace,line-ends,large-files,merge-conflicts,private-keys"
)


def pytest_collection_modifyitems(config, items):
    """Without act no workflow is run; one test says so, in one line."""
    if act.program() is None:
        without = [item for item in items if "prototype" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in without]


@pytest.fixture(scope="session")
def prototype(root, tracked, tmp_path_factory) -> Path:
    return seed(root, tracked, tmp_path_factory.mktemp("seed"))


@pytest.fixture
def site(prototype, tmp_path) -> Site:
    return Site.of(prototype, tmp_path, f"{forge.OWNER}/{forge.NAME}")


@pytest.fixture
def hub(site) -> Iterator[forge.Hub]:
    """GitHub's REST interface before the site's repository; in the end all was as GitHub describes it."""
    with github_running(site.origin) as hub:
        hub.tokens = {
            TOKEN: forge.Token("release-app[bot]", app=forge.APP),
            RUNS: forge.Token("github-actions[bot]", may={"contents": "read", "pull_requests": "write"}),
        }
        yield hub
        assert hub.violations == []


@pytest.fixture
def store() -> Iterator[registry.Registry]:
    with registry.running() as running:
        yield running


# test.yml is run by tests of its own.
NO_TESTS = """\
name: test
on: {workflow_call: }
permissions: {}
jobs:
  none: {runs-on: ubuntu-24.04, permissions: {}, timeout-minutes: 1, steps: [{run: "true"}]}
"""


@dataclasses.dataclass
class Lab:
    """Runs workflows of the site, with the stand-ins behind them."""

    site: Site
    hub: forge.Hub
    store: registry.Registry
    home: Path
    environment: dict[str, str]
    variables: dict[str, str]
    secrets: dict[str, str]
    elsewhere: dict[str, Path] = dataclasses.field(default_factory=dict)

    @property
    def image(self) -> str:
        return f"{self.store.address}/{NAME}"

    def run(
        self,
        workflow: str,
        event: str,
        payload: dict,
        commit: str | None = None,
        branch: str | None = "main",
        seconds: float = 240,
    ) -> act.Run:
        clone = self.site.checkout(commit or self.site.tip, branch)
        runner = act.Runner(
            clone=clone,
            origin=self.site.folder / "forge",
            slug=self.site.slug,
            home=self.home,
            variables=self.variables,
            secrets=self.secrets,
            environment=self.environment,
            elsewhere=self.elsewhere,
        )
        return runner.run(workflow, event, payload, seconds=seconds)

    def numstat(self, before: str, after: str) -> list[str]:
        return git(self.site.origin, "diff", "--numstat", before, after).splitlines()

    def change_the_model(self, branch: str = "main") -> str:
        """A change that has to train; the called test.yml does nothing from here on."""
        self.site.write(".github/workflows/test.yml", NO_TESTS)
        self.site.append("conf/base/parameters_training.yml", "# One more line.\n")
        return self.site.push("Another model", branch)

    def publish(self, shift: float, version: str = "7") -> str:
        """A tiny model's image in the registry, with its evidence; gives what a promotion takes."""
        folder = self.site.folder / "images"
        made = tiny.write(folder / "bundles", shift=shift, version=version)
        workshop.evidence(folder / "reports" / made.digest.removeprefix("sha256:")[:16], "good", made.digest)
        pin = workshop.image(folder, made.path)
        pushed = workshop.release("push", "--image", pin, "--to", self.image, "--layout", str(folder / "registry"))
        assert pushed.code == 0, pushed.error
        return pin

    def proposed(self, environment: str, pin: str, branch: str = "promote/staging/x") -> None:
        """A branch that makes the environment run the image."""
        git(self.site.work, "checkout", "-q", "-B", "proposal", "main")
        file = self.site.work / pins.path(environment)
        file.write_bytes(pins.write(file.read_bytes(), pins.parse(pin, "test"), str(file)))
        self.site.push("Promote", branch)
        git(self.site.work, "checkout", "-q", "main")

    def released(self, environment: str, pin: str) -> str:
        """Promoted and merged, by plain git, as if everybody had agreed; gives main's new tip."""
        git(self.site.work, "pull", "-q", "origin", "main")
        layout = str(self.site.folder / "images/registry")
        options = ("--image", pin, "--layout", layout, "--merge", "--repository", str(self.site.work), "--forge", "git")
        outcome = workshop.release("promote", environment, *options)
        assert outcome.code == 0, outcome.error
        git(self.site.work, "pull", "-q", "origin", "main")
        return self.site.tip

    def rolled_back(self, environment: str) -> None:
        options = ("--merge", "--repository", str(self.site.work), "--forge", "git")
        outcome = workshop.release("rollback", environment, *options)
        assert outcome.code == 0, outcome.error
        git(self.site.work, "pull", "-q", "origin", "main")


@pytest.fixture
def lab(site, hub, store, tmp_path, environments, root) -> Lab:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = {"VENV": "train", "VENV_SERVE": "serve", "VENV_VALIDATE": "validate", "VENV_CLIENTS": "clients"}
    environment = {variable: str(environments[name].parents[1]) for variable, name in names.items()}
    environment |= {
        "APP_TOKEN": TOKEN,
        "GITHUB_API_URL": hub.url,
        "GNUMAKEFLAGS": "KEDRO=prepared RUN=module",
        "PORT": str(port),
        "PYTEST_ADDOPTS": "--collect-only -q",
        "SKIP": HOOKS,
    }
    variables = {"BUILDER": "none", "IMAGE": f"{store.address}/{NAME}", "RELEASE_APP_CLIENT_ID": "Iv1.app"}
    return Lab(site, hub, store, tmp_path / "home", environment, variables, dict(SECRETS))


@pytest.fixture(autouse=True)
def _no_token(monkeypatch):
    """What this process does is done by plain git, whatever its own environment holds."""
    for name in [name for name in os.environ if name.startswith("GITHUB_")]:
        monkeypatch.delenv(name)
