"""The story, chapter by chapter: what is done, and what it proves. Every verdict is read from what ran."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts import bundle as bundles
from contracts import report as reports
from contracts.errors import InputError
from demo.deployer import Deployer, ask, stop
from demo.fault import break_table
from demo.plan import Chapter, Plan
from demo.workspace import Workspace

LAYOUT = "data/registry"
SHOWN_ROWS = 5


@dataclass(frozen=True)
class Event:
    """One line of the timeline."""

    title: str
    proves: str
    seconds: float
    seen: tuple[str, ...]


@dataclass(frozen=True)
class Release:
    """A trained model and how far it came."""

    name: str
    digest: str
    version: str
    image: str
    evaluation: dict[str, Any]
    gates: reports.Report
    load_test: reports.Report | None = None


@dataclass(frozen=True)
class Seen:
    """What production answered to the same rows at one moment."""

    happened: str
    digest: str
    answers: str
    manifests: bytes


@dataclass
class Story:
    """State that passes from chapter to chapter."""

    workspace: Workspace
    deployer: Deployer
    plan: Plan
    announce: Callable[[str], None]  # called with a step's title as it begins
    events: list[Event] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    production: list[Seen] = field(default_factory=list)

    def tell(self) -> None:
        """Run all chapters in order."""
        first = self.train(self.plan.first)
        first = self.release(first)
        rows = bundles.load(self.workspace.root / self.bundle(first)).golden.inputs
        rows = {name: values[:SHOWN_ROWS] for name, values in rows.items()}
        self.show(f"{first.name} released", rows)
        second = self.train(self.plan.second, champion=first)
        second = self.release(second)
        before = self.show(f"{second.name} released", rows)
        broken = self.refuse()
        self.force(broken, "shown by the demo: a bad version pushed past its gates by hand")
        bad = self.show("a bad version, forced by hand", rows)
        if bad.manifests == before.manifests or bad.answers == before.answers:
            raise InputError("production: the forced version changed nothing; see the demo's log")
        self.roll_back()
        after = self.show("git revert", rows)
        with self.event(
            "The way back is exact",
            "the served digest, the answers and the rendered manifests are those of before, byte for byte",
        ) as seen:
            if (after.digest, after.answers, after.manifests) != (before.digest, before.answers, before.manifests):
                raise InputError("production: after the revert something differs from before; see the demo's log")
            seen.append(f"{len(after.manifests)} bytes of manifests equal, answers equal, {brief(after.digest)}")

    # one chapter each

    def train(self, chapter: Chapter, champion: Release | None = None) -> Release:
        """Train, package, gate and register one version; with a champion, compare with it."""
        parameters, pipelines = chapter.parameters, "__default__"
        proves = "tables become a gated, registered bundle with one command"
        if champion:  # the feature table is there and holds the later months: only what follows it runs again
            parameters, pipelines = f"{parameters},validation.champion={self.bundle(champion)}", "train"
            proves = "the champion gate compares both on the same flights of the later months, in pairs, by day"
        with self.event(f"Train on {chapter.name}", proves) as seen:
            outcome = self.workspace.run(
                "kedro", "run", "--pipelines", pipelines, "--params", parameters, expect=(0, 2)
            )
            release = self.trained(chapter.name)
            if outcome.code and release.gates.passed:
                raise InputError(
                    f"kedro run: exit {outcome.code}: {outcome.last_line}; the whole output is in {self.workspace.log}"
                )
            seen.append(verdict(release.gates))
            if champion:
                seen.extend(f"{c.name}: {c.detail}" for c in release.gates.checks if c.gate == "champion" and c.detail)
        return release

    def release(self, release: Release) -> Release:
        """Build the image, load-test the server that it holds, promote to staging and to production."""
        with self.event(
            "Image and load test", "what is tested is what will run: the server from the image, asked over HTTP"
        ) as seen:
            image = self.build(release)
            served = self.deployer.start("candidate", image)
            folder = f"data/reports/{bundles.short(release.digest)}"
            try:
                self.workspace.run(
                    *("loadtests", "--url", served.url, "--bundle", str(served.bundle), "--environment", "production"),
                    *("--report", folder),
                    expect=(0, 1),
                )
            finally:
                stop(served)
            image = self.build(release)  # the same digest again, now with the load test's report beside it
            load_test = reports.load(self.workspace.root / folder / "loadtest.json")
            release = Release(
                release.name, release.digest, release.version, image, release.evaluation, release.gates, load_test
            )
            self.releases[-1] = release
            seen += [f"load test {verdict(load_test)}", brief(image)]
        if release.gates.passed and load_test.passed:
            for environment in ("staging", "production"):
                self.promote(release, environment)
        else:
            self.force(
                release,
                "the demo goes on although a gate said no: "
                + "; ".join(c.name for c in (*release.gates.refusals, *load_test.refusals)),
            )
        return release

    def promote(self, release: Release, environment: str, reason: str = "") -> None:
        """One line of gitops/ changes through a merge; the stand-in for Argo CD does the rest."""
        how = ("--force", "--reason", reason) if reason else ()
        proves = (
            "forced releases say so in history"
            if reason
            else "one line of one file changes, with the evidence in the merge"
        )
        with self.event(f"{'Force' if reason else 'Promote'} {release.name} to {environment}", proves) as seen:
            self.workspace.run(
                "release",
                "promote",
                environment,
                "--image",
                release.image.rpartition("@")[2],
                "--layout",
                LAYOUT,
                *how,
                "--merge",
            )
            served = self.deployer.sync(environment)
            seen += [brief(served.image), self.workspace.git("diff", "--shortstat", "HEAD^1", "HEAD")]

    def refuse(self) -> Release:
        """Train on a delivery whose rows were joined wrongly, and see it refused."""
        fault = self.plan.fault
        with self.event(
            "A broken delivery is refused",
            "every column looks right and no row is; the gates say why, and nothing is registered",
        ) as seen:
            override = break_table(self.workspace, fault)
            try:
                outcome = self.workspace.run(
                    "kedro",
                    "run",
                    "--params",
                    f"{self.plan.second.parameters},validation.champion={self.bundle(self.releases[-1])}",
                    expect=(2,),
                )
            finally:
                override.unlink()
            release = self.trained("broken delivery")
            if release.gates.passed:
                raise InputError(
                    f"kedro run: the broken delivery was not refused: {outcome.last_line}; see {self.workspace.log}"
                )
            seen.extend(f"{check.gate}, {check.name}: {check.detail}" for check in release.gates.refusals)
        return release

    def force(self, release: Release, reason: str) -> None:
        """Push a version past its gates, labelled, as a person could at 3 a.m."""
        release = Release(
            release.name,
            release.digest,
            release.version,
            release.image or self.build(release),
            release.evaluation,
            release.gates,
            release.load_test,
        )
        for environment in ("staging", "production"):
            self.promote(release, environment, reason)

    def roll_back(self) -> None:
        with self.event("Roll back production", "git revert of the one-line merge, whatever came through it") as seen:
            self.workspace.run("release", "rollback", "production", "--merge")
            served = self.deployer.sync("production")
            seen += [brief(served.image), brief(self.workspace.git("log", "-1", "--format=%s"))]

    def show(self, happened: str, rows: dict[str, list[Any]]) -> Seen:
        """Ask production for a few fixed rows, and note what it answers and from which manifests."""
        served = self.deployer.running["production"]
        digest, values = ask(served, rows)
        self.production.append(Seen(happened, digest, ", ".join(f"{value:.4f}" for value in values), served.manifests))
        return self.production[-1]

    # what chapters share

    def trained(self, name: str) -> Release:
        """The model that the last run made, as its documents in data/ say."""
        root = self.workspace.root
        pointer = json.loads((root / "data/bundles/latest.json").read_text())
        digest = pointer["digest"]
        gates = reports.load(root / "data/reports" / bundles.short(digest) / "gates.json")
        evaluation = json.loads((root / "data/evaluation.json").read_text())
        version = bundles.load(root / "data/bundles" / bundles.short(digest), digest).provenance.version
        self.releases.append(Release(name, digest, version, "", evaluation, gates))
        return self.releases[-1]

    def build(self, release: Release) -> str:
        return self.workspace.run(
            "release", "image", "--bundle", str(self.bundle(release)), "--layout", LAYOUT
        ).last_line

    def bundle(self, release: Release) -> Path:
        return Path("data/bundles") / bundles.short(release.digest)

    @contextmanager
    def event(self, title: str, proves: str) -> Iterator[list[str]]:
        """Time a step; what is appended to the list it gives is shown beside it."""
        self.announce(title)
        seen: list[str] = []
        started = time.monotonic()
        yield seen
        self.events.append(Event(title, proves, time.monotonic() - started, tuple(seen)))


def verdict(report: reports.Report) -> str:
    """One line: passed, or which checks refused."""
    if report.passed:
        return f"passed, {len(report.checks)} checks"
    return "refused by " + ", ".join(f"{check.gate}/{check.name}" for check in report.refusals)


def brief(text: str) -> str:
    """The text with its long hexadecimal names cut to twelve digits."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{4,}\b", r"\1…", text)
