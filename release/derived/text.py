"""YAML as it is written for people: the header of every derived file, and the pieces that they share."""

import textwrap

from release.derived.identity import Identity

BUDGETS = "conf/base/budgets.yml"
HEADER = f"""\
# Generated from {BUDGETS} by `make render`: edit that file, not this one.
"""


def indented(text: str, spaces: int) -> str:
    """The lines, moved to the right, each ended."""
    return textwrap.indent(text, " " * spaces) + "\n"


def listed(key: str, values: list[str]) -> str:
    """A list of plain words; nothing for none."""
    return f"{key}:\n" + "".join(f"  - {value}\n" for value in values) if values else ""


def component(resources: list[str] | None = None, components: list[str] | None = None, patches: str = "") -> str:
    """A kustomize Component. `patches` is a list in YAML, as it stands."""
    return (
        f"{HEADER}apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
        f"{listed('resources', resources or [])}{listed('components', components or [])}"
        + (f"patches:\n{patches}" if patches else "")
    )


def rollout_patch(operations: str) -> str:
    """JSON patches on the Rollout: kustomize knows no merge keys of it."""
    return (
        "  - target: {group: argoproj.io, version: v1alpha1, kind: Rollout, name: model}\n    patch: |-\n"
        + textwrap.indent(operations, " " * 6)
    )


def metadata(name: str, identity: Identity) -> str:
    """Name and labels of an object; its namespace is the environment's business."""
    labels = "".join(f"    {key}: {value}\n" for key, value in identity.labels.items())
    return f"metadata:\n  name: {name}\n  labels:\n{labels}"
