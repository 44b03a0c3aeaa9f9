"""Who is compared: how each server is started for a model, and in which dialect it is asked."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from bench.serving import environments, floor
from bench.serving.environments import PINS, ROOT, Environment
from bench.serving.questions import Model, Question
from contracts import atomic

ANCHOR, FLOOR, OURS = "mlserver", "floor", "ours"
KEY = "slipway_" + "benchmark" * 4  # any would do: the server sees its hash only


class Place(Struct, frozen=True):
    """Where a server is to run: the model, ports of its own, a folder of its own, and our replies for the floor."""

    model: Model
    ports: tuple[int, ...]
    folder: Path
    environment: Environment | None
    replies: Mapping[str, tuple[Mapping[str, str], bytes]] = {}

    @property
    def port(self) -> int:
        return self.ports[0]


class Launch(Struct, frozen=True):
    """How to start it."""

    command: list[str]
    variables: dict[str, str] = {}


class Contestant(Struct, frozen=True):
    """A server to be measured. `pins` names its environment under peers/; `needs` a flag or file of ours."""

    name: str
    title: str
    launch: Callable[[Place], Launch]
    pins: str = ""
    dialects: tuple[str, ...] = ("json",)
    spoken: Mapping[str, str] = {}  # what it is asked in place of a dialect
    needs: str = ""

    def question(self, model: Model, dialect: str, rows: int) -> Question:
        """The question for this server; the floor, which reads nothing, has one path for every reply."""
        asked = model.questions[self.spoken.get(dialect, dialect), rows]
        return asked if self.name != FLOOR else _on_its_own_path(asked, rows)


def python_of_ours() -> Path:
    """The Python of the environment that serves."""
    return ROOT / os.environ.get("VENV_SERVE", ".venv-serve") / "bin" / "python"


def missing(contestant: Contestant) -> str:
    """Why a variant of ours cannot be measured here; empty when it can."""
    if contestant.needs.startswith("--"):
        return "" if contestant.needs in _help() else f"this server has no {contestant.needs}"
    return "" if not contestant.needs or (ROOT / contestant.needs).exists() else f"there is no {contestant.needs}"


def headers(contestant: Contestant) -> dict[str, str]:
    """What it needs in every request: ours is measured with a key to be checked."""
    return {"X-API-Key": KEY} if contestant.name.startswith(OURS) and "--api-keys" in _help() else {}


def _on_its_own_path(asked: Question, rows: int) -> Question:
    return Question(f"{asked.path}/{rows}", asked.body, asked.headers, asked.expected)


def _ours(*flags: str) -> Callable[[Place], Launch]:
    def launch(place: Place) -> Launch:
        command = [str(python_of_ours()), "-m", "serving", "--bundle", str(place.model.bundle.path)]
        command += ["--port", str(place.port), "--management-port", str(place.ports[1]), *flags]
        if "--api-keys" in _help():
            command += ["--api-keys", str(_key_file(place.folder))]
        return Launch(command)

    return launch


def _asgi(place: Place) -> Launch:
    assert place.environment is not None
    command = [str(place.environment.bin / "uvicorn"), "serving.asgi:app", "--host", "127.0.0.1"]
    command += ["--port", str(place.port), "--no-access-log", "--log-level", "warning"]
    variables = {
        "SLIPWAY_BUNDLE": str(place.model.bundle.path),
        "SLIPWAY_API_KEYS": str(_key_file(place.folder)),
        "SLIPWAY_MANAGEMENT_PORT": str(place.ports[1]),
    }
    return Launch(command, variables)


def _mlserver(place: Place) -> Launch:
    assert place.environment is not None
    http, grpc, metrics = place.ports
    settings = {
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": grpc,
        "metrics_port": metrics,
        "parallel_workers": 0,  # in the process that answers: faster on one core than a worker behind a queue
        "debug": False,  # this is what turns the access log off
        "gzip_enabled": False,
    }
    model = {
        "name": place.model.name,
        "implementation": "mlserver_model.OnnxModel",
        "parameters": {"uri": str(place.model.onnx)},
    }
    atomic.write_text(place.folder / "settings.json", json.dumps(settings))
    atomic.write_text(place.folder / "model-settings.json", json.dumps(model))
    return Launch([str(place.environment.bin / "mlserver"), "start", str(place.folder)], {"PYTHONPATH": str(PINS)})


def _kserve(place: Place) -> Launch:
    return _script("kserve_server.py", place)


def _fastapi(place: Place) -> Launch:
    return _script("fastapi_server.py", place)


def _script(name: str, place: Place) -> Launch:
    assert place.environment is not None
    # -P: the folder of the script must not come before the packages that it imports.
    command = [str(place.environment.python), "-P", str(PINS / name)]
    return Launch([*command, str(place.model.onnx), place.model.name, str(place.port)])


def _mlflow(place: Place) -> Launch:
    assert place.environment is not None
    saved = place.folder / f"mlflow-{place.model.bundle.short_digest}"
    python, binaries = place.environment.python, place.environment.bin
    variables = {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}  # it starts uvicorn by name
    if not saved.exists():
        command = [str(python), "-P", str(PINS / "mlflow_model.py"), str(place.model.onnx), str(saved)]
        subprocess.run(command, check=True, capture_output=True)
    command = [str(binaries / "mlflow"), "models", "serve", "--model-uri", str(saved), "--env-manager", "local"]
    return Launch([*command, "--host", "127.0.0.1", "--port", str(place.port), "--workers", "1"], variables)


def _floor(place: Place) -> Launch:
    file = floor.configuration(place.folder, place.port, place.replies)
    return Launch([floor.nginx(), "-c", str(file), "-e", "stderr"])


def _key_file(folder: Path) -> Path:
    """A file with one key, as serving/security/keys.py reads it."""
    key = {"id": "benchmark", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), "scopes": ["predict"]}
    file = folder / "keys.json"
    atomic.write_text(file, json.dumps({"format": 1, "keys": [key]}))
    return file


_said: list[str] = []


def _help() -> str:
    """What our server says about its command line, asked once."""
    if not _said:
        command = [str(python_of_ours()), "-m", "serving", "--help"]
        _said.append(subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout)
    return _said[0]


EVERYBODY = {
    contestant.name: contestant
    for contestant in (
        Contestant(OURS, "this server", _ours(), dialects=("json", "binary")),
        Contestant(
            "ours-asgi", "this server under uvicorn", _asgi, "asgi", ("json", "binary"), needs="serving/asgi.py"
        ),
        Contestant("ours-unbatched", "this server, no batching", _ours("--no-batching"), needs="--no-batching"),
        Contestant("ours-workers", "this server, 2 workers", _ours("--workers", "2"), needs="--workers"),
        Contestant(ANCHOR, "MLServer", _mlserver, "mlserver"),
        Contestant("kserve", "KServe SDK", _kserve, "kserve", ("json", "binary")),
        Contestant("mlflow", "mlflow models serve", _mlflow, "mlflow", spoken={"json": "mlflow"}),
        Contestant("fastapi", "FastAPI + pydantic", _fastapi, "fastapi"),
        Contestant(FLOOR, "floor: nginx, fixed reply", _floor),
    )
}


def environment(contestant: Contestant, folder: Path) -> Environment | None:
    """Where it is installed, made when it is not there yet; None for the floor."""
    if contestant.name == FLOOR:
        return None
    if contestant.pins == "asgi":
        return environments.make("asgi", folder, also=ROOT / "requirements" / "serve.txt")
    return environments.make(contestant.pins, folder) if contestant.pins else environments.installed(python_of_ours())


def versions(found: Mapping[str, Environment]) -> dict[str, str]:
    """The versions that a reader will ask for, by package."""
    named = ("mlserver", "kserve", "mlflow", "fastapi", "uvicorn", "onnxruntime")
    seen = {name: each.versions[name] for name in named for each in found.values() if name in each.versions}
    text = subprocess.run([floor.nginx(), "-v"], capture_output=True, text=True).stderr if found else ""
    return {**seen, "nginx": text.strip().rpartition("/")[2], "python": sys.version.split()[0]}
