"""The demo's stand-in for Argo CD and a cluster: reads rendered manifests, resolves the digest, runs the server.

It knows nothing else: not which version it should be, not where bundles are trained. On a cluster, Argo CD and Argo
Rollouts do this; see docs/architecture.md.
"""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from contracts.errors import InputError
from demo.workspace import Workspace


@dataclass
class Served:
    """A server that runs what an environment's manifests name."""

    environment: str
    image: str
    manifests: bytes
    url: str
    bundle: Path
    process: subprocess.Popen[bytes]


@dataclass
class Deployer:
    """One server per environment, restarted when the rendered image changes."""

    workspace: Workspace
    layout: str
    running: dict[str, Served] = field(default_factory=dict)

    def sync(self, environment: str) -> Served:
        """Bring `environment` to what its rendered manifests say; a sync without a change restarts nothing."""
        rendered = self.workspace.run("release", "render", environment).text
        image = image_of(rendered, environment)
        served = self.running.get(environment)
        if served and served.image == image and served.process.poll() is None:
            served.manifests = rendered.encode()
            return served
        self.stop(environment)
        self.running[environment] = self.start(environment, image, rendered.encode())
        return self.running[environment]

    def start(self, name: str, image: str, manifests: bytes = b"") -> Served:
        """Unpack the image that `image` ends with (`…@sha256:…`) and run its server until it is ready."""
        digest = image.rpartition("@")[2]
        place = self.workspace.root / "data" / "nodes" / name
        shutil.rmtree(place, ignore_errors=True)
        self.workspace.run("release", "pull", "--image", digest, "--layout", self.layout, "--to", str(place))
        port, management = free_port(), free_port()
        bundle = next(place.rglob("bundle.json")).parent
        code = next(place.rglob("serving/__main__.py")).parents[1]
        command = [str(self.workspace.python_of("VENV_SERVE")), "-m", "serving", "--bundle", str(bundle)]
        command += ["--port", str(port), "--management-port", str(management), "--drain-seconds", "0"]
        log = (self.workspace.log.parent / f"server-{name}.log").open("ab")
        process = subprocess.Popen(
            command, cwd=code, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.workspace.environment()
        )
        served = Served(name, image, manifests, f"http://127.0.0.1:{port}", bundle, process)
        wait_until_ready(served)
        return served

    def stop(self, name: str) -> None:
        served = self.running.pop(name, None)
        if served:
            stop(served)

    def close(self) -> None:
        for name in list(self.running):
            self.stop(name)


def stop(served: Served) -> None:
    """End a server as a cluster does: SIGTERM, and SIGKILL when it does not go."""
    served.process.terminate()
    try:
        served.process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        served.process.kill()
        served.process.wait()


def image_of(rendered: str, environment: str) -> str:
    """The one image that the environment's rendered manifests run; raises InputError when there is none by digest."""
    images = set()
    for manifest in yaml.safe_load_all(rendered):
        pod = ((manifest or {}).get("spec") or {}).get("template", {}).get("spec", {})
        images |= {container["image"] for container in pod.get("containers", [])}
    pinned = sorted(image for image in images if "@sha256:" in image)
    if len(images) != 1 or not pinned:
        raise InputError(
            f"gitops/envs/{environment}: renders {sorted(images) or 'no image'}, "
            "not one image by digest; promote one first"
        )
    return pinned[0]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(served: Served, seconds: float = 30) -> None:
    """Ask for readiness until it is there, the process ends, or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if served.process.poll() is not None:
            raise InputError(
                f"{served.environment}: the server ended with exit {served.process.returncode}; "
                "see its log beside the demo's"
            )
        try:
            with urllib.request.urlopen(f"{served.url}/v2/health/ready", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        try:
            served.process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
    raise InputError(
        f"{served.environment}: the server was not ready after {seconds:.0f} s; see its log beside the demo's"
    )


def ask(served: Served, rows: dict[str, list[Any]]) -> tuple[str, list[float]]:
    """Send rows (the form of golden.json) over HTTP; gives the digest that answered and the first output's numbers."""
    manifest = json.loads((served.bundle / "bundle.json").read_text())
    types = {"string": "BYTES", "float32": "FP32", "int64": "INT64", "bool": "BOOL"}
    inputs = [
        {
            "name": column["name"],
            "datatype": types[column["dtype"]],
            "shape": [len(rows[column["name"]])],
            "data": rows[column["name"]],
        }
        for column in manifest["inputs"]
    ]
    request = urllib.request.Request(
        f"{served.url}/v2/models/{manifest['name']}/infer",
        json.dumps({"inputs": inputs}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["X-Bundle-Digest"], json.loads(answer.read())["outputs"][0]["data"]
