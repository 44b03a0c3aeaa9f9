"""The whole site: repository, registry, Argo CD, the cluster, and what it takes to deliver a version and see it arrive."""

import calendar
import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from release import kustomize
from release.oci import Layout
from tests.e2e.cluster import Cluster, kubectl, wait
from tests.e2e.images import Images
from tests.e2e.load import Load
from tests.e2e.registry import Registry
from tests.e2e.repository import Outcome, Repository
from tests.e2e.settings import Settings
from tests.e2e.versions import NEVER_THERE, UNPULLABLE
from tests.e2e.watch import Watch

ARGOCD = "argocd"
ROLLOUT = "model"
REFRESH = "argocd.argoproj.io/refresh"
REFRESH_SET = "argocd.argoproj.io/application-set-refresh"


class Site:
    """What the scenarios work on."""

    def __init__(self, settings: Settings, cluster: Cluster, repository: Repository, images: Images) -> None:
        self.settings, self.cluster, self.repository, self.images = settings, cluster, repository, images
        names = {digest[7:19]: name for name, digest in images.digests.items()}
        self.load = Load(cluster, f"{self.applications}-load", names)
        self.pushed: set[str] = set()
        self.told_at = 0.0  # when Argo CD was told of a change last

    # --- the platform

    def described(self) -> list[str]:
        """The cluster, in words."""
        nodes = self.cluster.ask("api/v1/nodes")["items"]
        said = [f"Kubernetes {self.cluster.ask('version')['gitVersion']}, {len(nodes)} node(s)"]
        for node in nodes:
            info, capacity = node["status"]["nodeInfo"], node["status"]["capacity"]
            said.append(f"{capacity['cpu']} cores, {capacity['memory']}, {info['containerRuntimeVersion']}")
        return said

    @property
    def applications(self) -> str:
        """The name of the ApplicationSet, which an application's name begins with."""
        text = (self.repository.root / "gitops/argocd/applicationset.yaml").read_text()
        return yaml.safe_load(text)["metadata"]["name"]

    def application(self, environment: str) -> str:
        """Argo CD's name for an environment."""
        return f"{self.applications}-{environment}"

    def namespace(self, environment: str) -> str:
        """Where it lives."""
        return self.repository.namespace(environment)

    def install(self) -> None:
        """What an administrator applies once: gitops/platform and gitops/argocd."""
        for folder in ("platform", "argocd"):
            rendered = kustomize.find().build(self.repository.root / "gitops" / folder)
            kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=gitops", "-f", "-", data=rendered)

    def clear(self) -> None:
        """Take away what an earlier run left: applications first, then what they made."""
        kubectl("-n", ARGOCD, "delete", "applicationset", self.applications, "--ignore-not-found", check=False)
        for environment in ("staging", "production"):
            name, namespace = self.application(environment), self.namespace(environment)
            kubectl("-n", ARGOCD, "delete", "application", name, "--ignore-not-found", "--wait=false", check=False)
            self.take_down(environment)
            kubectl("delete", "namespace", namespace, "--ignore-not-found", "--wait=false", check=False)
        for environment in ("staging", "production"):
            gone = self.namespace(environment)
            wait(f"namespace {gone} to go", lambda gone=gone: not self.cluster.ask(f"api/v1/namespaces/{gone}"), 90)

    def take_down(self, environment: str) -> None:
        """Delete what runs in an environment, as docs/rollback.md says."""
        kinds = (
            "rollout,service,poddisruptionbudget,networkpolicy,serviceaccount,horizontalpodautoscaler,analysistemplate"
        )
        kubectl("-n", self.namespace(environment), "delete", kinds, "--all", "--ignore-not-found", check=False)

    # --- a version on its way

    def push(self, *names: str) -> None:
        """Put images where the nodes pull them; the one that cannot be pulled is never pushed."""
        registry = Registry(self.settings.registry)
        for name in names:
            if name not in self.pushed and name not in (UNPULLABLE, NEVER_THERE):
                path = self.repository.image.partition("/")[2]
                registry.push(Layout.open(self.images.layout), self.images.image(name), path)
                self.pushed.add(name)

    def promote(self, environment: str, name: str, *more: str) -> Outcome:
        """`release promote --merge` of a version."""
        layout = ("--layout", str(self.images.layout))
        self.push(name)
        return self.repository.release(
            "promote", environment, "--image", self.images.pins[name], *layout, "--merge", *more
        )

    def promoted(self, environment: str, name: str, *more: str) -> float:
        """As `promote`, which has to succeed; gives the moment of the merge."""
        outcome = self.promote(environment, name, *more)
        assert outcome.code == 0, outcome.output + outcome.error
        return time.time()

    def rolled_back(self, environment: str, *more: str) -> Outcome:
        """`release rollback --merge`, which has to succeed."""
        return self.repository.done("rollback", environment, "--merge", *more)

    def tell(self, environment: str) -> float:
        """Tell Argo CD that the repository changed, as a webhook would; gives the moment."""
        if not self.cluster.get("application", ARGOCD, self.application(environment)):
            return self.tell_set()
        self.told_at = time.time()
        note = {"metadata": {"annotations": {REFRESH: "normal"}}}
        self.cluster.patch("application", ARGOCD, self.application(environment), note)
        return self.told_at

    def tell_set(self) -> float:
        """Tell the ApplicationSet, which makes applications and lets them go; gives the moment."""
        self.told_at = time.time()
        note = {"metadata": {"annotations": {REFRESH_SET: "true"}}}
        self.cluster.patch("applicationset", ARGOCD, self.applications, note)
        return self.told_at

    def deliver(self, environment: str, name: str, *more: str) -> float:
        """Promote, merge, tell; gives the moment at which Argo CD was told."""
        self.promoted(environment, name, *more)
        return self.tell(environment)

    # --- what the cluster says

    def state(self, environment: str) -> dict[str, Any]:
        """The Rollout and the Application, in the few words that scenarios are told in; {} before there is one."""
        rollout = self.cluster.get("rollout", self.namespace(environment), ROLLOUT)
        application = self.cluster.get("application", ARGOCD, self.application(environment)) or {}
        said = application.get("status", {})
        found: dict[str, Any] = {
            "sync": said.get("sync", {}).get("status", ""),
            "health": said.get("health", {}).get("status", ""),
            "revision": said.get("sync", {}).get("revision", ""),
        }
        if rollout:
            status = rollout.get("status", {})
            seen = str(rollout["metadata"]["generation"]) == str(status.get("observedGeneration"))
            found |= {
                "phase": status.get("phase", "") if seen else "unseen",
                "message": status.get("message", ""),
                "step": status.get("currentStepIndex"),
                "abort": bool(status.get("abort")),
                "stable": status.get("stableRS", ""),
                "current": status.get("currentPodHash", ""),
                "image": rollout["spec"]["template"]["spec"]["containers"][0]["image"].rpartition("@")[2],
                "ready": status.get("readyReplicas", 0),
                "replicas": rollout["spec"].get("replicas", 1),
                "paused": [cause["reason"] for cause in status.get("pauseConditions") or []],
            }
        return found

    def runs(self, environment: str, name: str) -> Callable[[], bool]:
        """Is a version all that an environment runs, Synced and Healthy?"""

        def there() -> bool:
            said = self.state(environment)
            return (
                said.get("image") == self.images.image(name)
                and said["phase"] == "Healthy"
                and said["stable"] == said["current"] != ""
                and (said["sync"], said["health"]) == ("Synced", "Healthy")
            )

        return there

    def arrive(self, environment: str, name: str, seconds: float = 180) -> float:
        """Wait until a version is all that runs; gives the moment."""
        try:
            wait(f"{environment}: {name} to be all that runs", self.runs(environment, name), seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.state(environment)}") from error
        return time.time()

    def running(self, environment: str) -> str:
        """The version that is all that runs in an environment."""
        said = self.state(environment)
        found = next((name for name in self.images.pins if self.images.image(name) == said.get("image")), "")
        assert found, f"{environment}: runs a version that nobody here made: {said}"
        self.arrive(environment, found, 60)  # an autoscaler may just have brought a first version to its minimum
        return found

    def settled(self, environment: str, name: str) -> None:
        """Have a version run, whatever there was before: what a scenario begins with."""
        if self.runs(environment, name)():
            return
        if self.repository.line(environment).rpartition("@")[2] != self.images.image(name):
            self.promoted(environment, name, "--force", "--reason", "where the next scenario begins")
        self.tell(environment)
        self.arrive(environment, name, 240)

    def runs_of(self, environment: str, after: float) -> list[dict[str, Any]]:
        """AnalysisRuns that began after a moment, with their verdicts by metric."""
        found = []
        for run in self.cluster.listed("analysisrun", self.namespace(environment)):
            begun = _seconds(run["metadata"]["creationTimestamp"])
            if begun >= int(after):
                status = run.get("status", {})
                metrics = {metric["name"]: metric for metric in status.get("metricResults", [])}
                found.append(
                    {
                        "name": run["metadata"]["name"],
                        "phase": status.get("phase", ""),
                        "message": status.get("message", ""),
                        "metrics": {name: metric.get("phase", "") for name, metric in metrics.items()},
                        "values": {
                            name: [m.get("value", m.get("message", "")) for m in metric.get("measurements", [])]
                            for name, metric in metrics.items()
                        },
                    }
                )
        return found

    def failed_metrics(self, environment: str, after: float) -> list[str]:
        """The metrics that sent a version back."""
        runs = self.runs_of(environment, after)
        return sorted({name for run in runs for name, phase in run["metrics"].items() if phase in ("Failed", "Error")})

    def scraped(self, environment: str) -> int:
        """How many pods of an environment Prometheus sees."""
        return int(self.asked(f'count(ml_model_info{{namespace="{self.namespace(environment)}"}})'))

    def asked(self, query: str) -> float:
        """What Prometheus answers, 0 where it has nothing."""
        address = f"{self.settings.prometheus}/api/v1/query?query={urllib.parse.quote(query)}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            found = json.loads(answer.read())["data"]["result"]
        return float(found[0]["value"][1]) if found else 0.0

    @contextmanager
    def watched(self, environment: str) -> Iterator[Watch]:
        """What changes in an environment meanwhile, with the moments."""
        watch = Watch(lambda: self.state(environment))
        watch.start()
        try:
            yield watch
        finally:
            watch.ended.set()
            watch.join()

    def picture(self, load: Load, begin: float, end: float, watch: Watch, old: str, new: str) -> dict[str, Any]:
        """Answers per second of two versions, and what happened when, for a picture."""
        seconds = [
            {
                "at": round(second["t"] - begin, 1),
                **{
                    name: sum(second["answers"].get(self.images.digests[name][7:19], {}).values())
                    for name in (old, new)
                },
                "lost": sum(second.get("lost", {}).values()),
            }
            for second in load.between(begin, end).seconds
        ]
        keys = ("phase", "step", "abort", "image")
        marks: list[dict[str, Any]] = []
        for at, said in watch.changes:
            mark = {key: said.get(key) for key in keys}
            mark["image"] = self.images.named_image(mark["image"])
            if begin <= at <= end and (not marks or {k: marks[-1][k] for k in keys} != mark):
                marks.append({"at": round(at - begin, 1), **mark})
        return {"old": old, "new": new, "seconds": seconds, "marks": marks}

    def service(self, environment: str, name: str = "model") -> str:
        """A Service's address inside the cluster."""
        found = self.cluster.get("service", self.namespace(environment), name)
        assert found, f"{environment}: no Service {name}"
        return found["spec"]["clusterIP"]

    def fault(self, what: str, there: bool) -> None:
        """Take a program away, or bring it back, by the command that this machine has for it."""
        command = (self.settings.start if there else self.settings.stop).split()
        for _ in range(3):  # what is still on its way out cannot be started yet
            done = subprocess.run([*command, what], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return
        raise AssertionError(f"{command} {what}: {done.stdout}{done.stderr}")


def _seconds(text: str) -> float:
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


def scratch(root: Path, keep: bool) -> Path:
    """Where a run works: another place each time, since Argo CD remembers for minutes what lay under an address."""
    place = root / "data/e2e/site"
    if keep and (last := sorted(place.glob("*/origin.git"))):
        return last[-1].parent
    shutil.rmtree(place, ignore_errors=True)
    return place / time.strftime("%H%M%S", time.gmtime())
