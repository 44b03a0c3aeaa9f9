"""What a cluster must be told to be tried on: a kubeconfig, a registry, a Prometheus address; all from the environment."""

import os
import shutil
from pathlib import Path

from msgspec import Struct

from contracts.errors import InputError

NEEDED = {
    "KUBECONFIG": "the cluster to try it on",
    "E2E_REGISTRY": "the registry to push to, as http://127.0.0.1:5000",
    "E2E_PROMETHEUS": "the Prometheus that Argo Rollouts asks, as http://127.0.0.1:9090",
}
PROGRAMS = ("kubectl", "git")


class Settings(Struct, frozen=True, kw_only=True):
    """Where the cluster and what belongs to it are.

    pull        the registry as the nodes call it; empty: images are pulled under the name that stands in gitops/
    host        this machine as pods see it: git and notifications are served there; empty: the controllers see this
                machine's files and its loopback
    gateway     where pods and this machine reach what answers for the Gateway `gateway/models`; empty: there is none
    stop, start commands that take away and bring back `apiserver` or `prometheus`, which is their last argument
    """

    registry: str
    prometheus: str
    pull: str = ""
    host: str = ""
    gateway: str = ""
    stop: str = ""
    start: str = ""
    bundle: str = ""
    base: str = ""
    builder: str = "auto"
    rate: float = 210.0
    versions: tuple[str, ...] = ()  # the versions that the picked scenarios need; else all
    keep: bool = False  # go on with what the run before left


def missing() -> str:
    """One line about what is missing, or nothing."""
    for name, what in NEEDED.items():
        if not os.environ.get(name):
            return f"{name}: is not set: {what}; docs/e2e.md"
    kubeconfig = Path(os.environ["KUBECONFIG"].partition(os.pathsep)[0])
    if not kubeconfig.is_file():
        return f"KUBECONFIG: {kubeconfig}: is not there; docs/e2e.md"
    for program in PROGRAMS:
        if not shutil.which(program):
            return f"{program}: is not on PATH"
    return ""


def read() -> Settings:
    """The settings; raises InputError in one line when one is missing."""
    if line := missing():
        raise InputError(line)
    said = {
        name: os.environ.get(f"E2E_{name.upper()}", "") for name in ("pull", "host", "gateway", "stop", "start", "base")
    }
    return Settings(
        registry=os.environ["E2E_REGISTRY"].rstrip("/"),
        prometheus=os.environ["E2E_PROMETHEUS"].rstrip("/"),
        bundle=os.environ.get("BUNDLE", ""),
        builder=os.environ.get("BUILDER", "") or "auto",
        rate=float(os.environ.get("E2E_RATE", "") or 210),
        keep=bool(os.environ.get("E2E_KEEP")),
        versions=tuple(os.environ.get("E2E_VERSIONS", "").split()),
        **said,
    )
