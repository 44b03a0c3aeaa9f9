"""The two fronts as real processes: our own, and `serving.asgi` under uvicorn."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import servers

ASGI = [sys.executable, "-m", "uvicorn", "serving.asgi:app", "--port", "0", "--no-access-log"]


@contextmanager
def built_in(bundle: Path) -> Iterator[str]:
    """The URL of `python -m serving`."""
    with servers.running(bundle) as server:
        yield server.url


@contextmanager
def asgi(bundle: Path) -> Iterator[str]:
    """The URL of uvicorn with the adapter."""
    environment = {**os.environ, "SLIPWAY_BUNDLE": str(bundle)}
    process = subprocess.Popen(ASGI, cwd=servers.ROOT, env=environment, text=True, stderr=subprocess.PIPE)
    try:
        said = ""
        while not (found := re.search(r"running on (http://[\d.:]+)", said)):
            line = process.stderr.readline()
            assert line, said
            said += line
        yield found[1]
    finally:
        process.terminate()
        process.communicate(timeout=30)


FRONTS = {"built-in": built_in, "asgi": asgi}
