"""Other strategies for an environment, and a route by hand where the plug-in that writes routes is not in the cluster.

Without Argo Rollouts' Gateway API plug-in a Rollout that names it hangs. `by_hand` makes a component that takes it out, and
`PlugIn` does its part; shares are whole pods. Everything else is what gitops/ renders: pods, Services, route, steps, analysis.
"""

import http.client
import json
import threading
from typing import Any
from urllib.parse import urlsplit

import yaml

from release import render
from tests.e2e.cluster import Unreachable, wait
from tests.e2e.repository import Repository
from tests.e2e.site import Site

BY_HAND = "../../e2e/by-hand"
SHADOW = "../../components/shadow"
ROUTES = "apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes/model"
ROLLOUT = {"group": "argoproj.io", "version": "v1alpha1", "kind": "Rollout", "name": "model"}
ROUTE = {"group": "gateway.networking.k8s.io", "version": "v1", "kind": "HTTPRoute", "name": "model"}
SWITCHED = 2.0  # seconds until a Gateway knows the pods of a Service that has switched
OF_THE_ROUTER = ("trafficRouting", "scaleDownDelaySeconds", "abortScaleDownDelaySeconds")


def switch(site: Site, environment: str, *components: str) -> None:
    """Another strategy: its own commit, synced, with what ran before running on."""
    site.repository.choose(environment, *components)
    commit = site.repository.commit(f"{', '.join(components)} in {environment}")
    site.tell(environment)
    wait("the change of strategy", lambda: site.state(environment)["revision"] == commit, 60)
    site.arrive(environment, site.images.named_image(site.state(environment)["image"]), 120)


def by_hand(repository: Repository, environment: str, *components: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the component for these ones; gives the route and, where steps set one, the header's rule."""
    repository.choose(environment, *components)
    objects = list(yaml.safe_load_all(render.manifests(repository.root, environment)))
    canary = next(each for each in objects if each["kind"] == "Rollout")["spec"]["strategy"]["canary"]
    route = next(each for each in objects if each["kind"] == "HTTPRoute")
    steps = [each for each in (_step(step) for step in canary["steps"]) if each]
    place = "/spec/strategy/canary"
    rollout: list[dict[str, Any]] = [
        {"op": "remove", "path": f"{place}/{name}"} for name in OF_THE_ROUTER if name in canary
    ]
    rollout += [{"op": "replace", "path": f"{place}/steps", "value": steps}]
    pause = next(number for number, step in enumerate(steps) if "pause" in step)
    rollout += [{"op": "replace", "path": f"{place}/analysis/startingStep", "value": pause}]
    patches = [{"target": ROLLOUT, "patch": yaml.safe_dump(rollout)}]
    folder = repository.root / "gitops/e2e/by-hand"
    folder.mkdir(parents=True, exist_ok=True)
    component = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", "patches": patches}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(component, sort_keys=False))
    header = next((step["setHeaderRoute"] for step in canary["steps"] if "setHeaderRoute" in step), None)
    rule = (
        {"name": header["name"], "matches": [_match(header)], "backendRefs": [_backend("model-canary")]}
        if header
        else {}
    )
    return route, rule


class PlugIn(threading.Thread):
    """Writes the route during a release, as the plug-in would: in the block of `with`.

    The header's rule while the release stands at its pause; everything to the canary's Service from then until the stable
    one's has switched. Without a router Argo Rollouts takes the last old pod away right before it switches that Service,
    which has no pod then: with one, old pods stay. So everybody is sent on when all but one of the new pods are there.
    """

    def __init__(self, site: Site, environment: str, rule: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.site, self.environment, self.rule = site, environment, rule
        self._ended = threading.Event()
        self._compared = False

    def __enter__(self) -> "PlugIn":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        written = (False, 0)
        while not self._ended.wait(0.1):
            try:
                wanted = self._wanted()
                if wanted != written:
                    if written[1] > wanted[1]:
                        self._ended.wait(SWITCHED)
                    self._write(*wanted)
                    written = wanted
            except Unreachable:
                continue

    def _wanted(self) -> tuple[bool, int]:
        """Whether the header's rule stands, and the weight of the canary's Service."""
        said = self.site.state(self.environment)
        if said["abort"] or said["stable"] == said["current"]:
            return False, 0
        if said["paused"]:
            self._compared = True
            return True, 0
        sets = self.site.cluster.listed("replicaset", self.site.namespace(self.environment))
        there = [
            each["status"].get("availableReplicas", 0)
            for each in sets
            if each["metadata"]["name"].endswith(said["current"])
        ]
        everybody = self._compared and sum(there) >= said["replicas"] - 1
        return self._compared and not everybody, 100 if everybody else 0

    def _write(self, header: bool, weight: int) -> None:
        path = ROUTES.format(self.site.namespace(self.environment))
        rules = [each for each in self.site.cluster.ask(path)["spec"]["rules"] if each["name"] != self.rule["name"]]
        for backend in rules[0]["backendRefs"]:
            backend["weight"] = weight if backend["name"] == "model-canary" else 100 - weight
        change = {"spec": {"rules": rules + [self.rule] * header}}
        self.site.cluster.ask(path, "PATCH", change, "application/merge-patch+json")


def shadowed(repository: Repository, pin: str) -> None:
    """Have the shadow run a version, as the component's own line says; what it may use fits a small node."""
    file = repository.root / "gitops/components/shadow/kustomization.yaml"
    document = yaml.safe_load(file.read_text())
    document["images"][0]["newTag"] = pin
    container = {"name": "server", "resources": {"requests": {"cpu": "200m"}}}
    small = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "model-shadow"}}
    small["spec"] = {"template": {"spec": {"containers": [container]}}}
    document["patches"].append({"patch": yaml.safe_dump(small)})
    file.write_text(yaml.safe_dump(document, sort_keys=False))


def accepted(site: Site, environment: str) -> bool:
    """Has the Gateway taken the route, with all that it refers to?"""
    parents = (site.cluster.ask(ROUTES.format(site.namespace(environment))) or {}).get("status", {}).get("parents", [])
    states = [{each["type"]: each["status"] for each in parent["conditions"]} for parent in parents]
    return bool(states) and all(said.get("Accepted") == said.get("ResolvedRefs") == "True" for said in states)


def answered_by(gateway: str, host: str, questions: dict[str, Any], headers: dict[str, str], times: int) -> set[str]:
    """Which digests answer a client of the Gateway that sends these headers, each time on a new connection."""
    inputs = [
        {"name": name, "datatype": datatype, "shape": [1], "data": [value]}
        for (name, datatype), value in zip(questions["columns"], questions["rows"][0], strict=True)
    ]
    found = set()
    for _ in range(times):
        connection = http.client.HTTPConnection(urlsplit(gateway).netloc, timeout=5)
        sent = {"Host": host, "Content-Type": "application/json", **headers}
        connection.request("POST", questions["path"], json.dumps({"inputs": inputs}), sent)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, f"{gateway}: {answer.status}"
        found.add(answer.headers["X-Bundle-Digest"])
        connection.close()
    return found


def _step(step: dict[str, Any]) -> dict[str, Any] | None:
    """A step as it is without a router."""
    if "setHeaderRoute" in step:
        return None
    if "setCanaryScale" in step:
        weight = step["setCanaryScale"].get("weight")
        return {"setWeight": weight} if weight else None
    return step


def _match(header: dict[str, Any]) -> dict[str, Any]:
    said = [
        {"type": "Exact", "name": each["headerName"], "value": each["headerValue"]["exact"]} for each in header["match"]
    ]
    return {"path": {"type": "PathPrefix", "value": "/"}, "headers": said}


def _backend(service: str) -> dict[str, Any]:
    return {"group": "", "kind": "Service", "name": service, "port": 80, "weight": 1}
