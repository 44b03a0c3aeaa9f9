"""A workflow, run for real by act on this machine: steps, outputs, job summary and annotations as a runner makes them.

act 0.2.89 does not know the newest syntax and refuses a file that has it, so a copy of the workflows is lowered first;
what that takes away (LOWERED) and what act itself passes over (permissions, concurrency, filters of `on`) is held by
test_workflows.py, over the files as they are.
"""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
STUBS, PROGRAMS = HERE / "stubs", HERE / "programs"
RUNNERS = ("ubuntu-24.04",)
LOWERED = (
    (re.compile(r"(?m)^ +queue: (?:max|single)(?: #.*)?\n"), ""),
    (re.compile(r"(?m)^ +deployment: (?:true|false)(?: #.*)?\n"), ""),
    (re.compile(r"(?m)^ +cache-mode: \w+(?: #.*)?\n"), ""),
    (re.compile(r"(uses: +)\$/"), r"\1./"),
    (re.compile(r"\bjob\.workflow_repository\b"), "github.repository"),
)
SETTINGS = """\
[user]
	name = Runner
	email = runner@example.com
[safe]
	directory = *
[core]
	pager = cat
[url "file://{origin}/"]
	insteadOf = https://github.com/
"""


def program() -> Path | None:
    """act, where there is a wheel of it for this system."""
    beside = Path(sys.executable).parent / "act"
    found = str(beside) if beside.exists() else shutil.which("act")
    return Path(found) if found else None


def lower(text: str) -> str:
    """A workflow without what act does not know."""
    return functools.reduce(lambda done, rule: rule[0].sub(rule[1], done), LOWERED, text)


@dataclass(frozen=True)
class Annotation:
    level: str
    text: str
    title: str = ""
    file: str = ""
    line: str = ""


@dataclass
class Step:
    job: str
    name: str
    result: str


@dataclass
class Run:
    """What happened. Jobs are named `caller/job` or `caller/job/job of the called workflow`."""

    code: int
    jobs: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    outputs: dict[tuple[str, str, str], str] = field(default_factory=dict)  # job, step, name
    summary: str = ""
    annotations: list[Annotation] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)  # what the stubs were asked

    @property
    def text(self) -> str:
        return "\n".join(self.log)

    def step(self, name: str) -> str:
        """The result of the step with this name; of several, the worst."""
        found = [step.result for step in self.steps if step.name == name]
        assert found, f"{name}: did not run; there were {[step.name for step in self.steps]}\n{self.text[-3000:]}"
        return next((result for result in found if result != "success"), "success")

    def ran(self, name: str) -> bool:
        return any(step.name == name for step in self.steps)

    def read(self, line: str) -> None:
        """A line of act's JSON."""
        try:
            said = json.loads(line)
        except ValueError:
            self.log.append(line)
            return
        job = str(said.get("job", "")).strip()
        job = "/".join(part.strip() for part in job.split("/"))
        command = said.get("command")
        if "jobResult" in said:
            self.jobs[job] = said["jobResult"]
        elif "stepResult" in said and said.get("stage") == "Main" and len(said["stepID"]) == 1:
            self.steps.append(Step(job, str(said["step"]).removeprefix("Main "), said["stepResult"]))
        elif command == "set-output":
            self.outputs[(job, said["stepID"][-1], said["name"])] = said["arg"]
        elif command == "summary":
            self.summary += said["content"]
        elif command in ("error", "warning", "notice"):
            more = said.get("kvPairs") or {}
            wanted = {key: more.get(key, "") for key in ("title", "file", "line")}
            self.annotations.append(Annotation(command, said["arg"], **wanted))
        if said.get("raw_output"):
            self.log.append(f"{job} | {said['msg'].rstrip()}")
        elif said.get("level") == "error":
            self.log.append(f"{job} ! {said['msg']}")


@dataclass(frozen=True)
class Runner:
    """Runs workflows of a clone: `origin` is the folder in which owner/name are bare repositories."""

    clone: Path
    origin: Path
    slug: str
    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Mapping[str, Path] = field(default_factory=dict)  # owner/name@ref of other repositories' workflows

    def run(self, workflow: str, event: str, payload: Mapping[str, Any], *arguments: str, seconds: float = 240) -> Run:
        """Run one workflow for one event."""
        act = program()
        assert act
        shutil.rmtree(self.home, ignore_errors=True)
        for folder in ("bin", "artifacts", "cache"):
            (self.home / folder).mkdir(parents=True)
        for file in PROGRAMS.iterdir():  # a zip of the repository has no run bits
            Path(shutil.copy(file, self.home / "bin")).chmod(0o755)
        (self.home / ".gitconfig").write_text(SETTINGS.format(origin=self.origin))
        (self.home / "said").touch()
        (self.home / "event.json").write_text(json.dumps(payload))
        self._file("variables", self.variables)
        self._file("secrets", self.secrets)
        self._lower(self.clone)
        command = [str(act), event, "-W", f".github/workflows/{workflow}.yml", "-e", str(self.home / "event.json")]
        command += ["--json", "--pull=false", "--no-cache-server", "--no-skip-checkout", "--concurrent-jobs", "1"]
        command += [word for name in RUNNERS for word in ("-P", f"{name}=-self-hosted")]
        command += ["--var-file", str(self.home / "variables"), "--secret-file", str(self.home / "secrets")]
        given = {
            "SAID": str(self.home / "said"),
            "ARTIFACTS": str(self.home / "artifacts"),
            "PATH": os.pathsep.join((str(self.home / "bin"), os.environ["PATH"])),
        }
        command += [word for pair in (given | dict(self.environment)).items() for word in ("--env", "=".join(pair))]
        places = (self.clone, *self.elsewhere.values())
        local = {
            name: str(STUBS / name.partition("@")[0].rpartition("/")[2]) for name in set().union(*map(used, places))
        }
        local |= {name: str(folder) for name, folder in self.elsewhere.items()}
        command += [word for pair in local.items() for word in ("--local-repository", "=".join(pair))]
        done = subprocess.run(
            [*command, *arguments],
            cwd=self.clone,
            env={"PATH": given["PATH"], "HOME": str(self.home), "XDG_CACHE_HOME": str(self.home / "cache")}
            | {"LANG": "C.UTF-8", "TERM": "dumb"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        run = Run(done.returncode, said=(self.home / "said").read_text().splitlines())
        for line in (done.stdout + done.stderr).splitlines():
            run.read(line)
        return run

    def _lower(self, clone: Path) -> None:
        for file in (clone / ".github/workflows").glob("*.yml"):
            file.write_text(lower(file.read_text()))

    def _file(self, name: str, values: Mapping[str, str]) -> None:
        (self.home / name).write_text("".join(f"{key}={json.dumps(value)}\n" for key, value in values.items()))


def used(repository: Path) -> set[str]:
    """Every foreign action of its workflows, as owner/name@commit."""
    files = (repository / ".github/workflows").glob("*.yml")
    return {name for file in files for name in re.findall(r"uses: +([\w-]+/[\w-]+@\w+)", file.read_text())}
