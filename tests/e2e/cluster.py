"""The cluster: its API through `kubectl proxy`, so that looking often costs little, and kubectl for the rest."""

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LOOK = 0.2  # seconds between two looks
RESOURCES = {
    "rollout": "apis/argoproj.io/v1alpha1/namespaces/{}/rollouts",
    "replicaset": "apis/apps/v1/namespaces/{}/replicasets",
    "analysisrun": "apis/argoproj.io/v1alpha1/namespaces/{}/analysisruns",
    "application": "apis/argoproj.io/v1alpha1/namespaces/{}/applications",
    "applicationset": "apis/argoproj.io/v1alpha1/namespaces/{}/applicationsets",
    "configmap": "api/v1/namespaces/{}/configmaps",
    "pod": "api/v1/namespaces/{}/pods",
    "service": "api/v1/namespaces/{}/services",
    "event": "api/v1/namespaces/{}/events",
}


class Unreachable(Exception):  # noqa: N818 - a state of the cluster, not an error of ours
    """The API server does not answer."""


class Cluster:
    """The cluster that KUBECONFIG names."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str, method: str = "GET", body: Any = None, kind: str = "application/json") -> Any:
        """What the API server answers, None where there is nothing; raises Unreachable while it does not answer."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            f"{self.address}/{path}", data=data, method=method, headers={"Content-Type": kind}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            if error.code >= 500:
                raise Unreachable(f"{method} {path}: {error.code}") from error
            raise AssertionError(f"{method} {path}: {error.code}: {error.read().decode()[:400]}") from error
        except OSError as error:
            raise Unreachable(f"{method} {path}: {error}") from error
        return json.loads(text) if answer.headers.get_content_type() == "application/json" else text.decode()

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """One object, or None where it is not."""
        return self.ask(f"{RESOURCES[kind].format(namespace)}/{name}")

    def listed(self, kind: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        """The objects of a kind in a namespace."""
        query = f"?labelSelector={selector}" if selector else ""
        return (self.ask(RESOURCES[kind].format(namespace) + query) or {}).get("items", [])

    def patch(self, kind: str, namespace: str, name: str, change: Any) -> None:
        """Merge a change into an object."""
        path = f"{RESOURCES[kind].format(namespace)}/{name}"
        self.ask(path, "PATCH", change, "application/merge-patch+json")


def kubectl(*arguments: str, data: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run kubectl; what it says is the failure's text."""
    done = subprocess.run(["kubectl", *arguments], input=data, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr.strip()[-800:]}"
    return done


def wait(what: str, ready: Callable[[], Any], seconds: float) -> Any:
    """Look until `ready` gives something, which is given back; fails with `what` when it never does."""
    end = time.monotonic() + seconds
    while True:
        try:
            if found := ready():
                return found
        except Unreachable:
            found = None
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(LOOK)


@contextmanager
def connected() -> Iterator[Cluster]:
    """The cluster, while a proxy to it runs."""
    command = ["kubectl", "proxy", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as proxy:
        try:
            assert proxy.stdout is not None
            line = next((line for line in proxy.stdout if "Starting to serve" in line), "")
            found = re.search(r"127\.0\.0\.1:\d+", line)
            assert found, "kubectl proxy: did not start"
            yield Cluster(f"http://{found[0]}")
        finally:
            proxy.terminate()
