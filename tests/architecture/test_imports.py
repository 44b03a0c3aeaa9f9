"""Who may know whom (docs/architecture.md). Read from the source, so that an import inside a function counts too."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Room -> the rooms whose modules it may import. A room that is not named here may not be imported by any other.
MAY_KNOW = {
    "contracts": set(),
    "serving": {"contracts"},
    "loadtests": {"contracts"},
    "release": {"contracts"},
    "pipelines": {"contracts"},
    "demo": {"contracts"},
    "bench": {"contracts"},
    "hooks": set(),
    "requirements": set(),
}
# The model runtime, for batch scores and for parity: this module, and no other one of the server.
RUNTIME_FOR = {("pipelines", "scoring"), ("pipelines", "validation")}
RUNTIME = "serving.runtime"
# Rooms that run in small environments: the libraries they may have, by import name.
LIBRARIES = {
    "contracts": {"cryptography", "msgspec", "yaml"},
    "serving": {"google", "grpc", "httptools", "jwt", "msgspec", "numpy", "onnxruntime", "uvloop", "yaml"},
    "release": {"github", "msgspec", "yaml"},
    "requirements": set(),
}
# Library -> where alone it may be imported: Deepchecks runs in an environment and a process of its own (AGPL-3.0,
# numpy<2), the others are imported only once somebody asks for what they do.
ONLY_IN = {
    "deepchecks": "pipelines/validation/deepchecks_suite.py",
    "cryptography": "contracts/signature.py",
    "jwt": "serving/security/",
    "grpc": "serving/grpc/",
    "google": "serving/grpc/",
    "github": "release/github/rest.py",
}


def imported(source: str) -> Iterator[str]:
    """Every module that a file imports, wherever in it, by its full name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, "relative imports are not read here, and ruff refuses them"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def breaches(path: Path, source: str) -> list[str]:
    """What `path` imports and may not."""
    room, found = path.parts[0], []
    for module in imported(source):
        top = module.split(".")[0]
        if top in MAY_KNOW and top != room:
            runtime = path.parts[:2] in RUNTIME_FOR and f"{module}.".startswith(f"{RUNTIME}.")
            allowed = top in MAY_KNOW[room] or runtime
        elif top in LIBRARIES.get(room, {top}) or top in sys.stdlib_module_names or top == room:
            allowed = str(path).startswith(ONLY_IN.get(top, ""))
        else:
            allowed = False
        if not allowed:
            found.append(f"{path}: may not import {module}")
    return found


@pytest.fixture(scope="module")
def sources(root, tracked):
    return {path: (root / path).read_text() for path in tracked if path.suffix == ".py" and path.parts[0] in MAY_KNOW}


def test_nobody_knows_more_than_the_picture_of_the_house_says(sources):
    assert [line for path, source in sources.items() for line in breaches(path, source)] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("contracts/report.py", "import serving"),
        ("contracts/report.py", "import numpy"),
        ("serving/server.py", "def f():\n    from kedro.io import DataCatalog"),
        ("serving/server.py", "import pandas as pd"),
        ("serving/server.py", "from pipelines import schema"),
        ("release/pin.py", "from serving import runtime"),
        ("loadtests/users.py", "import pipelines.scoring.nodes"),
        ("pipelines/training/nodes.py", "from serving.runtime import Model"),
        ("pipelines/scoring/nodes.py", "from serving import limits"),
        ("pipelines/scoring/nodes.py", "import release.pin"),
        ("pipelines/validation/nodes.py", "import deepchecks"),
        ("demo/story.py", "from release import pin"),
        ("requirements/environments.py", "import yaml"),
    ],
)
def test_a_breach_is_found(path, source):
    assert len(breaches(Path(path), source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("pipelines/scoring/nodes.py", "from serving.runtime import Model"),
        ("pipelines/validation/nodes.py", "import serving.runtime"),
        ("pipelines/validation/deepchecks_suite.py", "from deepchecks.tabular import Suite"),
        ("serving/server.py", "import json, numpy\nfrom contracts.bundle import load\nfrom serving import limits"),
        ("pipelines/training/nodes.py", "import torch"),
    ],
)
def test_what_is_allowed_is_not_called_a_breach(path, source):
    assert breaches(Path(path), source) == []


def circle(edges: dict[str, set[str]]) -> list[str]:
    """The first circle in a graph, as its nodes in order; empty when there is none."""

    def walk(node: str, way: list[str]) -> list[str]:
        if node in way:
            return way[way.index(node) :]
        return next((found for after in sorted(edges.get(node, ())) if (found := walk(after, [*way, node]))), [])

    return next((found for node in sorted(edges) if (found := walk(node, []))), [])


def test_no_arrow_between_the_pipelines_runs_back(sources):
    folders = {path.parts[1] for path in sources if path.parts[0] == "pipelines" and len(path.parts) > 2}
    edges: dict[str, set[str]] = {folder: set() for folder in folders}
    for path, source in sources.items():
        if path.parts[0] == "pipelines" and len(path.parts) > 2:
            known = {module.split(".")[1] for module in imported(source) if module.startswith("pipelines.")}
            edges[path.parts[1]] |= known & folders - {path.parts[1]}
    assert circle(edges) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c"]


HEAVY = ("deepchecks", "ibis", "kedro", "mlflow", "onnx", "pandas", "sklearn", "torch")
IMPORT_ALL = """
import importlib, json, pkgutil, sys
import serving
for module in pkgutil.walk_packages(serving.__path__, "serving."):
    if module.name != "serving.__main__":
        importlib.import_module(module.name)
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize("environment", ["serve", "train"])  # train holds all of them: a mere `try: import` would show
def test_the_server_pulls_in_nothing_heavy(environments, root, environment):
    done = subprocess.run(
        [environments[environment], "-c", IMPORT_ALL], cwd=root, check=True, capture_output=True, text=True
    )
    modules = set(json.loads(done.stdout))
    assert {"serving.runtime", "contracts.bundle", "onnxruntime"} <= modules
    assert modules & set(HEAVY) == set()


def test_the_server_s_environment_holds_nothing_heavy(environments, root):
    find = f"import importlib.util as u; print([name for name in {HEAVY!r} if u.find_spec(name)])"
    done = subprocess.run([environments["serve"], "-c", find], cwd="/", check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
