"""The stand-in as a process of its own, for whoever wants to look at it or to point a workflow at it.

    python -m tests.github.serve origin.git --repository slipway-tests/model --port 8099

prints where it listens, and at the end what was asked and what was not as GitHub describes it.
"""

import argparse
import threading
from pathlib import Path

from tests.github.hub import NAME, OWNER
from tests.github.server import running


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.github.serve", description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path, help="a bare repository")
    parser.add_argument("--repository", default=f"{OWNER}/{NAME}", metavar="OWNER/NAME")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--check", action="append", default=[], metavar="CONTEXT", help="main requires it")
    options = parser.parse_args()
    owner, _, name = options.repository.partition("/")
    with running(options.path, owner, name, options.port) as hub:
        if options.check:
            hub.protect(checks=tuple(options.check))
        (token,) = hub.tokens
        print(f"export GITHUB_API_URL={hub.url} GITHUB_REPOSITORY={hub.full_name} GITHUB_TOKEN={token}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            for each in hub.asked:
                print(each.code, each.method, each.path)
            print("\n".join(hub.violations) or "all as GitHub describes it")
    return 1 if hub.violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
