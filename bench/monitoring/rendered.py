"""The component `monitoring` as it lies in gitops/: what a cluster gets is what is tried."""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from contracts.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


class Monitoring(Struct, frozen=True):
    """Rule groups as Prometheus reads them, dashboards as Grafana does, and whose they are."""

    namespace: str
    groups: tuple[dict[str, Any], ...]
    dashboards: dict[str, dict[str, Any]]

    def only(self, alert: str) -> "Monitoring":
        """The groups that an alert needs, in their order: its own, and those that record what it looks at."""
        names = {rule["record"]: group["name"] for group in self.groups for rule in group["rules"] if "record" in rule}
        kept: set[str] = set()
        wanted = {group["name"] for group in self.groups if any(r.get("alert") == alert for r in group["rules"])}
        while wanted - kept:
            kept |= wanted
            texts = [rule["expr"] for group in self.groups if group["name"] in kept for rule in group["rules"]]
            wanted = kept | {group for record, group in names.items() if any(f"{record}{{" in text for text in texts)}
        return Monitoring(self.namespace, tuple(group for group in self.groups if group["name"] in kept), {})

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """Every alert."""
        return [rule for group in self.groups for rule in group["rules"] if "alert" in rule]

    @property
    def records(self) -> list[dict[str, Any]]:
        """Every recording rule."""
        return [rule for group in self.groups for rule in group["rules"] if "record" in rule]


def folder(root: Path, environment: str) -> Path:
    """Where it lies."""
    return root / "gitops" / "envs" / environment / "derived" / "monitoring"


def read(environment: str = "production", root: Path = ROOT) -> Monitoring:
    """From the working tree; raises InputError where nothing was rendered yet."""
    place = folder(root, environment)
    if not (place / "rules.yaml").is_file():
        raise InputError(f"{place}: holds no rules.yaml; run `make render`")
    rules = yaml.safe_load((place / "rules.yaml").read_text(encoding="utf-8"))["spec"]["groups"]
    boards = {}
    for file in sorted(place.glob("dashboard-*.yaml")):
        ((name, text),) = yaml.safe_load(file.read_text(encoding="utf-8"))["data"].items()
        boards[name.removesuffix(".json")] = json.loads(text)
    kustomization = yaml.safe_load((place.parents[1] / "kustomization.yaml").read_text(encoding="utf-8"))
    return Monitoring(kustomization["namespace"], tuple(rules), boards)


def write(monitoring: Monitoring, file: Path, interval: str | None = None) -> Path:
    """The rules as a file of Prometheus; with `interval` every group is evaluated as often, whatever it says."""
    groups = [group | ({"interval": interval} if interval else {}) for group in monitoring.groups]
    file.write_text(yaml.safe_dump({"groups": groups}, sort_keys=False, width=10_000), encoding="utf-8")
    return file


def program(name: str) -> str:
    """A program of Prometheus or Alertmanager on PATH; raises InputError that says what is missing."""
    if found := shutil.which(name):
        return found
    raise InputError(
        f"{name}: is not on PATH; it comes with Prometheus or Alertmanager 3 (https://prometheus.io/download)"
    )
