"""A scratch clone to work in, the commands that run there, and the time each of them took."""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from contracts.errors import InputError

ENVIRONMENTS = {"VENV": ".venv", "VENV_SERVE": ".venv-serve", "VENV_VALIDATE": ".venv-validate"}
TELEMETRY_SWITCHES = (
    "DO_NOT_TRACK",
    "MLFLOW_DISABLE_TELEMETRY",
    "KEDRO_DISABLE_TELEMETRY",
    "DISABLE_LATEST_VERSION_CHECK",
)


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
    """The clone, and the environments of the user's own checkout, which it shares."""

    source: Path
    root: Path
    log: Path
    environments: dict[str, Path]  # variable of the Makefile -> folder
    outcomes: list[Outcome] = field(default_factory=list)

    @classmethod
    def create(cls, source: Path, folder: Path) -> "Workspace":
        """Clone what `source` has committed into `folder`, which is made anew; the user's own checkout is only read."""
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
            environments={variable: environment(source, variable, name) for variable, name in ENVIRONMENTS.items()},
        )

    def run(self, *arguments: str, expect: tuple[int, ...] = (0,), module: bool = True) -> Outcome:
        """Run a command in the clone (`python -m ARGUMENTS` unless module is False) and note it in the log.

        Raises InputError, with the command's last line, when its exit code is not expected.
        """
        command = [str(self.python_of("VENV")), "-m", *arguments] if module else list(arguments)
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
        """What commands in the clone see: the user's environments, no colours, no telemetry."""
        shared = {variable: str(folder) for variable, folder in self.environments.items()}
        quiet = dict.fromkeys(TELEMETRY_SWITCHES, "true")
        return {**os.environ, **shared, **quiet, "COLUMNS": "160", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}

    def python_of(self, variable: str) -> Path:
        """The python of an environment, by its variable in the Makefile."""
        return self.environments[variable] / "bin" / "python"


def environment(source: Path, variable: str, default: str) -> Path:
    """The folder of an environment that `make setup` made; raises InputError when it is not there."""
    folder = (source / os.environ.get(variable, default)).absolute()
    if not (folder / "bin" / "python").exists():
        raise InputError(f"{folder}: holds no environment; run `make setup`")
    return folder


def git(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run git in a folder."""
    return subprocess.run(["git", *arguments], cwd=folder, check=check, capture_output=True, text=True)
