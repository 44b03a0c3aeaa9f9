"""A dry run of a bundle in a process of its own, with a limit on memory and on time.

This file is both ends: `run` starts it, and started as a script it loads the bundle with the server's runtime, asks it
for its golden rows and for a full slice of them, and prints how much memory that took. What the shapes of a graph do
not tell (sizes that follow from values) shows here, in a process that may die.
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

from contracts import bundle as bundles
from contracts.bundle import Bundle

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTE = 1024 * 1024


class Outcome(Struct, frozen=True, kw_only=True):
    """What happened: `problem` is None when the model answered; `megabytes` is what the process grew by."""

    problem: str | None
    megabytes: float | None = None


def run(bundle: Bundle, memory_megabytes: int, seconds: int) -> Outcome:
    """Start the dry run and wait for it, `seconds` at most."""
    command = [
        sys.executable,
        "-P",
        str(Path(__file__).resolve()),
        str(bundle.path.resolve()),
        bundle.digest,
        str(memory_megabytes),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return Outcome(problem=f"the model did not answer its golden rows within {seconds} s")
    if done.returncode == 0:
        return Outcome(problem=None, megabytes=json.loads(done.stdout)["megabytes"])
    reason = done.stderr.strip().splitlines()[-1:] or [f"the process ended with {done.returncode}"]
    return Outcome(problem=f"within {memory_megabytes} MiB the model does not answer: {reason[0][:300]}")


def main(path: str, digest: str, memory_megabytes: str) -> int:
    """The other end. Exit code 0, or 1 with the reason as the last line of stderr."""
    from serving.runtime import SLICE_ROWS, Model

    before = _resident()
    _limit(int(memory_megabytes) * MEBIBYTE)
    try:
        model = Model(bundles.load(Path(path), digest))
        golden = model.bundle.golden.inputs
        copies = SLICE_ROWS // max(len(next(iter(golden.values()), [])), 1) + 1
        model.predict(golden)
        model.predict({name: values * copies for name, values in golden.items()})
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no base class but this
        # On a line of its own: onnxruntime may have begun one.
        print(f"\n{' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
        return 1
    print(json.dumps({"megabytes": max(_resident() - before, 0) / MEBIBYTE}))
    return 0


def _limit(additional: int) -> None:
    """Cap the address space at what is used now and `additional` bytes; where the system knows no cap, time remains."""
    statistics = Path("/proc/self/statm")
    if not statistics.exists():
        return
    used = int(statistics.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + additional, used + additional))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _resident() -> int:
    """The largest resident size so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss is no use there: it starts with the size of the process that forked us
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
