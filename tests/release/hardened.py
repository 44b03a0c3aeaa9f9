"""An image out of a layout, run by runc as a cluster's strictest policy would run it.

Read-only root file system, user 10001, no capability, no new privileges, no network but its own loopback, and a small
scratch file system at /tmp. python -m tests.release.hardened LAYOUT DIGEST [ROUNDS] prints what it measures.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from msgspec import Struct

from contracts import bundle as bundles
from contracts.bundle import Bundle
from release import image
from release.image import Image
from release.oci import Config, Layout

TYPES = {"string": "BYTES", "float32": "FP32", "int64": "INT64", "bool": "BOOL"}
CAPABILITIES = ("bounding", "effective", "inheritable", "permitted", "ambient")
# Run beside the container's processes, in their network; gives status, headers and body of an answer.
ASK = """
import json, sys, urllib.request
request = urllib.request.Request(sys.argv[1], sys.stdin.buffer.read() or None, {"Content-Type": "application/json"})
with urllib.request.urlopen(request, timeout=10) as answer:
    print(json.dumps([answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read().decode()]))
"""


def lacking() -> str:
    """What this machine lacks to run a container; empty when nothing is."""
    wanted = [name for name in ("runc", "nsenter") if shutil.which(name) is None]
    return ", ".join([*wanted, *(["root"] if os.geteuid() else [])])


def unpack(layout: Layout, about: Image, folder: Path) -> Path:
    """The image's root file system, owners and modes included, as a container runtime would lay it out."""
    for layer in about.manifest.layers:
        with tarfile.open(fileobj=BytesIO(layout.read(layer))) as tar:
            tar.extractall(folder, filter="tar")
    folder.chmod(0o755)
    return folder


class Container(Struct, frozen=True):
    """A container whose server said that it is ready."""

    name: str
    seconds: float  # from the runtime's start to the word "ready"
    ready: str

    def ask(self, path: str, body: object = None, port: int = 8080) -> tuple[int, dict[str, str], str]:
        """A request from inside the container's network."""
        command = ["nsenter", f"--net=/proc/{self.process}/ns/net", sys.executable, "-c", ASK]
        data = json.dumps(body).encode() if body is not None else b""
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{port}{path}"], input=data, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        status, headers, text = json.loads(done.stdout)
        return status, headers, text

    def predict(self, bundle: Bundle) -> dict[str, list]:
        """What it answers to the bundle's golden rows."""
        rows = bundle.golden.inputs
        inputs = [
            {
                "name": column.name,
                "datatype": TYPES[column.dtype],
                "shape": [len(rows[column.name])],
                "data": rows[column.name],
            }
            for column in bundle.manifest.inputs
        ]
        _, headers, text = self.ask(f"/v2/models/{bundle.manifest.name}/infer", {"inputs": inputs})
        assert headers["x-bundle-digest"] == bundle.digest
        return {output["name"]: output["data"] for output in json.loads(text)["outputs"]}

    def status(self) -> dict[str, str]:
        """The kernel's word on the server's process: user, capabilities, privileges, memory."""
        lines = Path(f"/proc/{self.process}/status").read_text().splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command inside the container, as its user."""
        words = ["runc", "exec", self.name, *command]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    @property
    def process(self) -> int:
        state = subprocess.run(["runc", "state", self.name], capture_output=True, check=True).stdout
        return int(json.loads(state)["pid"])


@contextmanager
def running(layout: Layout, about: Image, root: Path, *more: str) -> Iterator[Container]:
    """A container of the image whose root file system was unpacked to `root`, with more arguments for the server."""
    name = f"hardened-{os.getpid()}-{time.monotonic_ns()}"
    with tempfile.TemporaryDirectory(prefix="runc-") as folder:
        place = Path(folder)
        config = layout.document(about.manifest.config.digest, Config)
        (place / "config.json").write_text(json.dumps(_specification(config, root, more)))
        pipe = subprocess.PIPE
        started = time.monotonic()
        process = subprocess.Popen(["runc", "run", "--bundle", str(place), name], stdout=pipe, stderr=pipe, text=True)
        try:
            line = process.stdout.readline()
            seconds = time.monotonic() - started
            assert line.startswith("ready "), line + process.stderr.read()
            yield Container(name, seconds, line.strip())
        finally:
            subprocess.run(["runc", "kill", name, "TERM"], capture_output=True, check=False)
            process.communicate(timeout=60)
            subprocess.run(["runc", "delete", "--force", name], capture_output=True, check=False)
    assert process.returncode == 0, "the server did not stop cleanly"


def _specification(config: Config, root: Path, more: tuple[str, ...]) -> dict[str, object]:
    """An OCI runtime configuration from the image's own, with everything denied that can be."""
    settings = config.config
    user, _, group = settings.user.partition(":")
    safe = ["nosuid", "nodev", "noexec"]
    scratch = {"type": "tmpfs", "source": "tmpfs"}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": int(user), "gid": int(group)},
            "args": [*(settings.entrypoint or ()), *(settings.cmd or ()), *more],
            "env": list(settings.env or ()),
            "cwd": settings.working_dir,
            "capabilities": {name: [] for name in CAPABILITIES},
            "noNewPrivileges": True,
        },
        "root": {"path": str(root), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", **scratch, "options": ["nosuid", "mode=755", "size=64k"]},
            {"destination": "/tmp", **scratch, "options": [*safe, "mode=1777", "size=16m"]},
        ],
        "linux": {
            "namespaces": [{"type": name} for name in ("pid", "network", "ipc", "uts", "mount")],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/sysrq-trigger"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
        },
    }


def measure(layout: Layout, digest: str, rounds: int) -> None:
    """Print size, start time and memory of an image."""
    about = image.read(layout, digest)
    with tempfile.TemporaryDirectory(prefix="root-") as folder:
        root = unpack(layout, about, Path(folder))
        files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
        pulled = sum(layer.size for layer in about.manifest.layers)
        print(
            f"to pull {pulled / 1e6:.1f} MB, unpacked {sum(f.stat().st_size for f in files) / 1e6:.1f} MB, {len(files)} files"
        )
        bundle = bundles.load(root / image.BUNDLE, about.bundle_digest)
        seconds, memory = [], []
        for _ in range(rounds):
            with running(layout, about, root) as container:
                seconds.append(container.seconds)
                answers = container.predict(bundle)
                memory.append(int(container.status()["VmRSS"].split()[0]) / 1024)
        print(f"start to ready: median {statistics.median(seconds):.2f} s of {[round(value, 2) for value in seconds]}")
        print(
            f"memory after the golden rows: {max(memory):.0f} MiB; answers: {answers == bundle.golden.outputs or answers}"
        )


if __name__ == "__main__":
    measure(Layout.open(Path(sys.argv[1])), sys.argv[2], int((sys.argv[3:] or ["5"])[0]))
