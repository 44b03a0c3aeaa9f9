"""Rendering: manifests out of gitops/, and the parts of gitops/ that are derived from the budgets (`release.derived`).

Derived files are committed, say that they are generated, and are checked by `render --check`.
"""

from pathlib import Path

from contracts import atomic, budgets
from contracts.errors import InputError
from release import kustomize, pin
from release.derived import files, identity, text

BUDGETS = text.BUDGETS


def manifests(root: Path, environment: str) -> str:
    """What a cluster gets for an environment, as kustomize renders the working tree."""
    return kustomize.find().build(_folder(root, environment))


def environments(root: Path) -> list[str]:
    """The environments that gitops/ has, by name."""
    found = sorted(file.parent.name for file in (Path(root) / pin.ENVIRONMENTS).glob("*/kustomization.yaml"))
    if not found:
        raise InputError(
            f"{Path(root) / pin.ENVIRONMENTS}: holds no environment; give --repository the folder above gitops/"
        )
    return found


def derived(root: Path) -> dict[Path, str]:
    """Every derived file with what it must say now."""
    root = Path(root)
    return {
        _below(root, environment) / path: said
        for environment in environments(root)
        for path, said in files(budgets.load(root / BUDGETS, environment), identity.read(root, environment)).items()
    }


def write(root: Path) -> list[Path]:
    """Write the derived files and remove what nothing generates any more; gives those that changed."""
    wanted, changed = derived(root), stale(root)
    for path in changed:
        if path in wanted:
            atomic.write_text(path, wanted[path])
        else:
            path.unlink()
    return changed


def stale(root: Path) -> list[Path]:
    """The derived files that are missing, say something else than the budgets, or that nothing generates."""
    wanted = derived(root)
    there = {file for each in environments(root) for file in _below(Path(root), each).rglob("*") if file.is_file()}
    changed = [path for path, said in wanted.items() if path not in there or path.read_text(encoding="utf-8") != said]
    return [*changed, *sorted(there - wanted.keys())]


def _below(root: Path, environment: str) -> Path:
    return (root / pin.path(environment)).parents[1] / "derived"


def _folder(root: Path, environment: str) -> Path:
    folder = (Path(root) / pin.path(environment)).parents[1]
    if not (folder / "kustomization.yaml").is_file():
        raise InputError(f"{folder}: is no environment; known: {', '.join(environments(root))}")
    return folder
