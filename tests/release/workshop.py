"""What the tests of release/ work on: real repositories, with and without a bare origin, and a real layout of real images."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from contracts import bundle as bundles
from contracts import report as reports
from release import pin, render
from release.cli import main
from tests import bundles as tiny

ROOT = Path(__file__).resolve().parents[2]
STAGING, PRODUCTION = pin.path("staging"), pin.path("production")


@dataclass(frozen=True)
class Outcome:
    code: int
    output: str
    error: str


def release(*arguments: str) -> Outcome:
    """A release command in this process."""
    output, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(error):
        try:
            code = main([*map(str, arguments)])
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Outcome(code, output.getvalue(), error.getvalue())


@dataclass(frozen=True)
class Images:
    """A layout with images; each name gives what an environment's line says to run it."""

    layout: Path
    pins: dict[str, str]
    digests: dict[str, str]  # of the bundles

    def __getitem__(self, name: str) -> str:
        return self.pins[name]

    def image(self, name: str) -> str:
        return self.pins[name].rpartition("@")[2]


@dataclass
class Repository:
    """A clone in which somebody works; `origin` is bare where there is one."""

    path: Path
    images: Images
    origin: Path | None = None
    settings: dict[str, str] = field(default_factory=dict)

    def git(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.path, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def run(self, *arguments: str) -> Outcome:
        return release(*arguments, "--repository", str(self.path))

    def promote(self, environment: str, name: str, *more: str) -> Outcome:
        image = self.images.pins.get(name, name)
        return self.run("promote", environment, "--image", image, "--layout", str(self.images.layout), *more)

    def released(self, environment: str, name: str, *more: str) -> None:
        outcome = self.promote(environment, name, "--merge", *more)
        assert outcome.code == 0, outcome.error

    def roll_back(self, environment: str, *more: str) -> Outcome:
        return self.run("rollback", environment, *more)

    def process(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """A release command in a process of its own, to be killed or raced."""
        command = [sys.executable, "-m", "release", *arguments, "--repository", str(self.path)]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def render(self, environment: str) -> str:
        """The manifests of what the target branch says, whatever is checked out here."""
        place = self.path.parent / "rendered"
        shutil.rmtree(place, ignore_errors=True)
        source = self.origin or self.path
        subprocess.run(["git", "clone", "-q", "-b", "main", str(source), str(place)], check=True, capture_output=True)
        return render.manifests(place, environment)

    def truth(self, *arguments: str) -> str:
        """git where the target branch lives."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.origin or self.path, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def line(self, environment: str) -> str:
        content = self.truth("show", f"main:{pin.path(environment)}")
        return str(pin.read(content.encode(), environment))

    def branches(self) -> set[str]:
        return set(self.truth("for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines())

    def write(self, path: str, text: str) -> None:
        (self.path / path).parent.mkdir(parents=True, exist_ok=True)
        (self.path / path).write_text(text)

    def commit(self, message: str) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def share(self) -> None:
        """What is committed here becomes the truth, too."""
        if self.origin:
            self.git("push", "-q", "origin", "main")

    def state(self) -> tuple[str, str, str, str]:
        """Everything a refused command must leave as it was."""
        refs = self.truth("for-each-ref")
        return refs, self.git("for-each-ref"), self.git("status", "--porcelain"), self.git("stash", "list")


def seed(folder: Path) -> Path:
    """A repository with gitops/ and the budgets, committed."""
    shutil.copytree(ROOT / "gitops", folder / "gitops")
    (folder / "conf/base").mkdir(parents=True)
    shutil.copy(ROOT / "conf/base/budgets.yml", folder / "conf/base")
    for file in (folder / "gitops/envs").glob("*/release/kustomization.yaml"):
        content = file.read_bytes()
        file.write_bytes(pin.write(content, pin.Pin(), str(file)))  # whatever runs in this repository today
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Start"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    return folder


def build(folder: Path) -> Images:
    """Images one to three are good; the others each lack something."""
    layout, pins, digests = folder / "registry", {}, {}
    cases = {
        "one": {"shift": 0.0, "version": "1"},
        "two": {"shift": 0.1, "version": "2"},
        "three": {"shift": 0.2, "version": "3"},
        "failed": {"shift": 0.3, "version": "4"},
        "untested": {"shift": 0.4, "version": "5"},
        "foreign": {"shift": 0.5, "version": "6"},
        "unregistered": {"shift": 0.6, "version": ""},
        "empty": {"shift": 0.7, "version": "8"},
    }
    for name, case in cases.items():
        made = tiny.write(folder / "bundles", **case)
        digests[name] = made.digest
        if name != "untested":
            evidence(folder / "reports" / bundles.short(made.digest), name, made.digest)
        pins[name] = image(folder, made.path)
    return Images(layout, pins, digests)


def image(folder: Path, bundle: Path) -> str:
    where = ("--layout", str(folder / "registry"), "--reports", str(folder / "reports"))
    outcome = release("image", "--bundle", str(bundle), *where, "--repository", str(ROOT))
    assert outcome.code == 0, outcome.error
    return outcome.output.splitlines()[-1]


def evidence(folder: Path, name: str, digest: str) -> None:
    subject = "sha256:" + "0" * 64 if name == "foreign" else digest
    for stem, gate in (("gates", "quality"), ("loadtest", "latency")):
        check = reports.Check(
            gate=gate,
            name="floor",
            status="fail" if name == "failed" and stem == "gates" else "pass",
            value=0.81,
            threshold=0.7,
            detail="on # of the rows | all",
        )
        checks = () if name == "empty" and stem == "gates" else (check,)
        report = reports.Report(
            title=stem.capitalize(), subject=subject, created_at="2026-01-02T03:04:05Z", checks=checks
        )
        reports.write(report, folder, stem)
