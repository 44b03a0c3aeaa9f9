"""Rendered manifests, and the few ways in which the tests look at them."""

import shutil
from pathlib import Path

import yaml

from release import kustomize, pin

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = tuple(sorted(file.parent.name for file in (ROOT / "gitops" / "envs").glob("*/kustomization.yaml")))
RUNS = pin.Pin("7-0123456789ab", "sha256:" + "a" * 64)
NEXT = pin.Pin("8-ba9876543210", "sha256:" + "b" * 64)
# The name that the repository's images have, as its own release files say.
IMAGE = yaml.safe_load((ROOT / pin.path("staging")).read_text())["images"][0]["newName"]


def copy(folder: Path) -> Path:
    """gitops/ and the budgets in a folder of their own, in which nothing runs yet."""
    shutil.copytree(ROOT / "gitops", folder / "gitops")
    (folder / "conf" / "base").mkdir(parents=True)
    shutil.copy(ROOT / "conf" / "base" / "budgets.yml", folder / "conf" / "base")
    for environment in ENVIRONMENTS:
        set_pin(folder, environment, pin.Pin())
    return folder


def set_pin(root: Path, environment: str, value: pin.Pin) -> None:
    file = root / pin.path(environment)
    file.write_bytes(pin.write(file.read_bytes(), value, str(file)))


def documents(folder: Path) -> list[dict]:
    return [document for document in yaml.safe_load_all(kustomize.find().build(folder)) if document]


def of_kind(rendered: list[dict], kind: str) -> list[dict]:
    return [document for document in rendered if document["kind"] == kind]


def rollout(rendered: list[dict]) -> dict:
    (found,) = of_kind(rendered, "Rollout")
    return found


def pod(rendered: list[dict]) -> dict:
    return rollout(rendered)["spec"]["template"]["spec"]


def server(rendered: list[dict]) -> dict:
    (found,) = pod(rendered)["containers"]
    return found
