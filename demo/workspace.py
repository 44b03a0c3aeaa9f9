"""A scratch clone to work in, the commands that run there, and the time each of them took."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from contracts.errors import InputError


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, what it printed, seconds."""

    command: str
    code: int
    text: str
    seconds: float

    @property
    def last_line(self) -> str:
        lines = [line for line in self.text.strip().splitlines() if line.strip()]
        return lines[-1].strip() if lines else ""


@dataclass
class Workspace:
    """The clone. `python` runs pipelines and release, `server_python` the server, as they do outside of the demo."""

    source: Path
    root: Path
    log: Path
    python: Path
    server_python: Path
    validation_python: Path
    outcomes: list[Outcome] = field(default_factory=list)

    @classmethod
    def create(cls, source: Path, folder: Path) -> "Workspace":
        """Clone the committed state of `source` into `folder`, which is made anew; the user's own checkout is only read."""
        if git(source, "rev-parse", "--verify", "-q", "HEAD", check=False).returncode:
            raise InputError(
                f"{source}: is no git repository with a commit; `git init && git add -A && git commit` first"
            )
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        root = folder / "repository"
        git(folder, "clone", "-q", "--no-hardlinks", str(source), str(root))
        for key, value in (("user.name", "demo"), ("user.email", "demo@localhost"), ("commit.gpgsign", "false")):
            git(root, "config", key, value)
        git(root, "checkout", "-q", "-B", "main")
        git(root, "remote", "remove", "origin")  # nothing can flow back
        return cls(
            source=source,
            root=root,
            log=folder / "demo.log",
            python=Path(sys.executable),
            server_python=environment(source, "VENV_SERVE", ".venv-serve"),
            validation_python=environment(source, "VENV_VALIDATE", ".venv-validate"),
        )

    def run(self, *arguments: str, expect: tuple[int, ...] = (0,), module: bool = True) -> Outcome:
        """Run a command in the clone (`python -m ARGUMENTS` unless module is False) and note it in the log.

        Raises InputError, with the command's last line, when its exit code is not expected.
        """
        command = [str(self.python), "-m", *arguments] if module else list(arguments)
        shown = " ".join(["python -m", *arguments] if module else arguments)
        started = time.monotonic()
        done = subprocess.run(
            command,
            check=False,
            cwd=self.root,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        outcome = Outcome(shown, done.returncode, done.stdout, time.monotonic() - started)
        self.outcomes.append(outcome)
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"$ {shown}\n{done.stdout}\n[exit {done.returncode}, {outcome.seconds:.1f} s]\n\n")
        if done.returncode not in expect:
            raise InputError(f"{shown}: exit {done.returncode}: {outcome.last_line}; the whole output is in {self.log}")
        return outcome

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments, module=False).text.strip()

    def environment(self) -> dict[str, str]:
        quiet = {
            "DO_NOT_TRACK": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "KEDRO_DISABLE_TELEMETRY": "true",
            "DISABLE_LATEST_VERSION_CHECK": "true",
        }
        width = {"COLUMNS": "160", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
        return {**os.environ, **quiet, **width}


def environment(source: Path, variable: str, default: str) -> Path:
    """The python of an environment that `make setup` made; raises InputError when it is not there."""
    python = (source / os.environ.get(variable, default) / "bin" / "python").absolute()
    if not python.exists():
        raise InputError(f"{python}: is missing; run `make setup`")
    return python


def git(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run git in a folder."""
    return subprocess.run(["git", *arguments], cwd=folder, check=check, capture_output=True, text=True)
