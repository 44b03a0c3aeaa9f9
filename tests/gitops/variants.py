"""Every way in which an environment can be put together: its strategy, and the extras it may list."""

import atexit
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path

import yaml
from msgspec import Struct

from tests.gitops.manifests import ENVIRONMENTS, ROOT, RUNS, copy, documents, set_pin

DERIVED = {
    file.parent.name for file in (ROOT / "gitops/envs" / ENVIRONMENTS[0] / "derived").glob("*/kustomization.yaml")
}
STATIC = {file.parent.name for file in (ROOT / "gitops/components").glob("*/kustomization.yaml")}
# A component that derived/ has a folder for is listed by that folder.
STRATEGIES = {
    name.removeprefix("strategy-"): f"derived/{name}" if name in DERIVED else f"../../components/{name}"
    for name in sorted(STATIC | DERIVED)
    if name.startswith("strategy-")
}
EXTRAS = {
    name: f"derived/{name}" if name in DERIVED else f"../../components/{name}"
    for name in sorted(STATIC | DERIVED)
    if not name.startswith("strategy-") and name != "analysis"
}
ROUTE = "traffic-gateway-api"
ROUTED_ALREADY = {"ab"}  # strategies that bring the route themselves
INSTEAD = (("hpa-inflight", "keda", "fixed-replicas"),)  # of which an environment has one at most


class Variant(Struct, frozen=True):
    """One environment's kustomization: a strategy and extras, by name."""

    environment: str
    strategy: str
    extras: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "-".join((self.environment, self.strategy, *self.extras))

    @property
    def components(self) -> list[str]:
        """What its kustomization.yaml lists, in the order that docs/delivery.md gives."""
        return [STRATEGIES[self.strategy], *(EXTRAS[extra] for extra in self.extras), "derived", "release"]


def fits(strategy: str, extra: str) -> tuple[str, ...] | None:
    """The extras that it takes to list one with this strategy; None when the two do not go together."""
    if extra == ROUTE:
        return (ROUTE,) if strategy == "canary" else None
    if extra == "shadow" and strategy not in ROUTED_ALREADY:
        return (ROUTE, "shadow") if strategy == "canary" else None
    return (extra,)


def everything(strategy: str) -> tuple[str, ...]:
    """All extras at once, but of those that stand for each other the first."""
    left = {name for group in INSTEAD for name in group[1:]}
    return tuple(sorted(extra for extra in EXTRAS if fits(strategy, extra) and extra not in left))[::-1]


def variants() -> list[Variant]:
    found: dict[Variant, None] = {}
    for environment in ENVIRONMENTS:
        for strategy in STRATEGIES:
            alone = [fits(strategy, extra) for extra in EXTRAS]
            for extras in [(), *filter(None, alone), everything(strategy)]:
                found[Variant(environment, strategy, extras)] = None
    return list(found)


ALL = variants()
FULL = [variant for variant in ALL if variant.extras == everything(variant.strategy)]


class Workshop:
    """A copy of gitops/ in which everything runs a version, and environments can be put together at will."""

    def __init__(self, folder: Path) -> None:
        self.root = copy(folder)
        for environment in ENVIRONMENTS:
            set_pin(self.root, environment, RUNS)
        shadow = self.root / "gitops/components/shadow/kustomization.yaml"
        shadow.write_text(re.sub(r"newTag: .*", f"newTag: {RUNS}", shadow.read_text()))

    def put_together(self, variant: Variant) -> Path:
        """The folder of the variant's environment, which lists what the variant says."""
        folder = self.root / "gitops/envs" / variant.environment
        kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
        kustomization["components"] = variant.components
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization, sort_keys=False))
        return folder


@cache
def _workshop() -> Workshop:
    folder = Path(tempfile.mkdtemp(prefix="gitops-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Workshop(folder / "repository")


@cache
def _rendered(variant: Variant) -> tuple[dict, ...]:
    return tuple(documents(_workshop().put_together(variant)))


def rendered(variant: Variant) -> list[dict]:
    """A variant's manifests; not to be changed: they are rendered once."""
    return list(_rendered(variant))
