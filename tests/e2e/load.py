"""The load of a scenario: one pod that asks all the time, and what it counted between two moments."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.e2e.cluster import Cluster, Unreachable, kubectl, wait
from tests.e2e.traffic import PORT, SETTLED

ROOT = Path(__file__).resolve().parents[2]
POD = "load"
FILES = ("bench/__init__.py", "bench/load.py", "tests/e2e/traffic.py")
PACKAGES = "/opt/packages"  # where serving/Dockerfile puts them


class Counts(Struct, frozen=True, kw_only=True):
    """How the requests between two moments ended."""

    seconds: list[dict[str, Any]]
    names: dict[str, str]  # 12 hex digits of a digest -> the version's name

    @property
    def answers(self) -> Counter[str]:
        """Answers by version."""
        total: Counter[str] = Counter()
        for second in self.seconds:
            for digest, statuses in second["answers"].items():
                total[self.names.get(digest, digest)] += sum(statuses.values())
        return total

    @property
    def statuses(self) -> dict[str, dict[str, int]]:
        """Statuses by version."""
        total: dict[str, Counter[str]] = {}
        for second in self.seconds:
            for digest, statuses in second["answers"].items():
                total.setdefault(self.names.get(digest, digest), Counter()).update(statuses)
        return {name: dict(found) for name, found in total.items()}

    @property
    def lost(self) -> dict[str, int]:
        """Lost requests by reason."""
        return dict(sum((Counter(second.get("lost", {})) for second in self.seconds), Counter()))

    @property
    def wrong(self) -> dict[str, int]:
        """Answers that are not what they say, by reason."""
        return dict(sum((Counter(second.get("wrong", {})) for second in self.seconds), Counter()))

    def missed(self, since: float) -> list[str]:
        """When requests were due that were lost or answered by nobody's version, in seconds since a moment, and why."""
        found = [(at - since, why) for second in self.seconds for at, why in second.get("missed", [])]
        return [f"{at:.2f} s: {why}" for at, why in sorted(found)]

    @property
    def requests(self) -> int:
        """All of them."""
        return self.answers.total() + sum(self.lost.values())

    def share(self, name: str) -> float:
        """Of the answers, those of a version."""
        return self.answers[name] / max(1, self.answers.total())

    def within(self, begin: float, end: float) -> "Counts":
        """The whole seconds between two moments."""
        kept = [second for second in self.seconds if begin <= second["t"] and second["t"] + 1 <= end]
        return Counts(seconds=kept, names=self.names)

    def summary(self) -> dict[str, Any]:
        """For the figures."""
        span = max(1, len(self.seconds))
        worst = max((second.get("stall", 0.0) for second in self.seconds), default=0.0)
        p99 = sorted(second["p99"] for second in self.seconds if "p99" in second)
        said: dict[str, Any] = {"requests": self.requests, "per_second": round(self.requests / span, 1)}
        said |= {"lost": sum(self.lost.values()), "lost_why": self.lost, "wrong": self.wrong}
        said |= {"answers": self.statuses, "generator_late_s": worst}
        return said | ({"p99_ms_median_second": p99[len(p99) // 2], "p99_ms_worst_second": p99[-1]} if p99 else {})


class Load:
    """The pod, in a namespace that may ask."""

    def __init__(self, cluster: Cluster, namespace: str, names: dict[str, str]) -> None:
        self.cluster, self.namespace, self.names = cluster, namespace, names
        self.seconds: list[dict[str, Any]] = []  # what it has told so far

    def start(self, image: str, host: str, port: int, rate: float, questions: dict[str, Any]) -> None:
        """Ask the address from now on, until `stop`; the pod is the server's image with another command."""
        self.stop()
        self.seconds.clear()
        keys = {name.replace("/", "--"): name for name in FILES}
        data = {key: (ROOT / name).read_text() for key, name in keys.items()}
        data["questions.json"] = json.dumps(questions, separators=(",", ":"))
        items = [{"key": key, "path": name} for key, name in keys.items()]
        items.append({"key": "questions.json", "path": "questions.json"})
        container = {
            "name": "load",
            "image": image,
            "command": ["python", "-m", "tests.e2e.traffic", host, str(port), str(rate), "/load/questions.json"],
            "workingDir": "/load",
            "env": [{"name": "PYTHONPATH", "value": f"/load:{PACKAGES}"}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
            "volumeMounts": [{"name": "files", "mountPath": "/load"}],
        }
        meta = {"name": POD, "namespace": self.namespace}
        labels = {"model-client": "allowed"}
        objects = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data},
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": meta,
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "containers": [container],
                    "volumes": [{"name": "files", "configMap": {"name": POD, "items": items}}],
                },
            },
        ]
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", data=json.dumps(listed))
        wait("the load's pod", self._runs, 90)
        self.read(time.time() + 1)

    def stop(self) -> None:
        """End it, with what it counted."""
        place = ("-n", self.namespace, "pod", POD)
        kubectl("delete", *place, "--ignore-not-found", "--grace-period=0", "--force", check=False)

    def read(self, until: float) -> Counts:
        """Everything that was due until a moment, once it has ended."""

        def seconds() -> list[dict[str, Any]]:
            text = self.cluster.ask(f"api/v1/namespaces/{self.namespace}/pods/{POD}:{PORT}/proxy/{len(self.seconds)}")
            self.seconds += [json.loads(line) for line in (text or "").splitlines()]
            return list(self.seconds) if self.seconds and self.seconds[-1]["t"] + 1 >= until else []

        time.sleep(max(0.0, until + SETTLED + 1 - time.time()))
        return Counts(seconds=wait(f"what was asked until {until:.0f}", seconds, 60), names=self.names)

    def between(self, begin: float, end: float) -> Counts:
        """What was due between two moments."""
        return self.read(end).within(begin, end)

    def _runs(self) -> bool:
        try:
            pod = self.cluster.get("pod", self.namespace, POD)
        except Unreachable:
            return False
        phase = ((pod or {}).get("status") or {}).get("phase")
        assert phase not in ("Failed", "Succeeded"), "the load's pod has ended; its log says why"
        return phase == "Running"
