"""Whose manifests they are, as gitops/ says it: generated files repeat it, and no name stands in code."""

from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from contracts.errors import InputError
from release import pin

BASE = "gitops/base/kustomization.yaml"
APPLICATION = "gitops/argocd/applicationset.yaml"
PART_OF, OWNER = "app.kubernetes.io/part-of", "owner"


class Identity(Struct, frozen=True, kw_only=True):
    """One environment of one model."""

    environment: str
    namespace: str
    part_of: str
    owner: str
    pages: str  # address under which the files of the repository can be read

    @property
    def labels(self) -> dict[str, str]:
        """What every object of the environment carries."""
        return {"app.kubernetes.io/name": "model", PART_OF: self.part_of, OWNER: self.owner}


def read(root: Path, environment: str) -> Identity:
    """From the environment's kustomization and the base's; raises InputError with file and key."""
    file = (Path(root) / pin.path(environment)).parents[1] / "kustomization.yaml"
    labels = _value(Path(root) / BASE, "labels")
    pairs: dict[str, str] = {}
    for each in labels if isinstance(labels, list) else ():
        pairs |= each.get("pairs", {})
    for key in (PART_OF, OWNER):
        if not pairs.get(key):
            raise InputError(f"{Path(root) / BASE}: labels: {key} is missing; say whose the model is")
    return Identity(
        environment=environment,
        namespace=str(_value(file, "namespace")),
        part_of=str(pairs[PART_OF]),
        owner=str(pairs[OWNER]),
        pages=_pages(Path(root) / APPLICATION),
    )


def _pages(file: Path) -> str:
    """Where Argo CD reads the repository, as a forge shows it to people."""
    try:
        source = _value(file, "spec")["template"]["spec"]["source"]
        return f"{str(source['repoURL']).removesuffix('.git')}/blob/{source['targetRevision']}"
    except (KeyError, TypeError) as error:
        raise InputError(f"{file}: spec.template.spec.source: must name repoURL and targetRevision") from error


def _value(file: Path, key: str) -> Any:
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}; it says whose the manifests are") from error
    except yaml.YAMLError as error:
        raise InputError(f"{file}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict) or not document.get(key):
        raise InputError(f"{file}: {key}: is missing")
    return document[key]
