"""What a push or a pull request touches, and so what has to run. Standard library: no environment is made before it.

    python3 -m release.changes --since COMMIT

A change of nothing but release files is a promotion or a rollback: it is rendered and reported, and never trains, or a
merged promotion would start the next one. Nor does a change of documents, manifests or tests. What is not known here
trains: too much is better than a model that nobody retrained.
"""

import argparse
import fnmatch
import json
import subprocess
import sys

from release import runner

ENVIRONMENTS = "gitops/envs/"
RELEASE = f"{ENVIRONMENTS}*/release/*"
MODELLESS = (".github/*", "docs/*", "gitops/*", "tests/*", "*.md", "LICENSE")


def outputs(paths: list[str] | None, there: list[str] | None = None) -> dict[str, str]:
    """The answers for these changed files; None: nobody knows which, as on a branch's first push.

    Only environments that are still `there` are named (None: all are): what was removed has nothing to be checked.
    """
    if paths is None:
        return _said(trains=True, tests=True, promotion=False, environments=[])
    released = [path for path in paths if fnmatch.fnmatch(path, RELEASE)]
    others = [path for path in paths if path not in released]
    trains = any(not any(fnmatch.fnmatch(path, pattern) for pattern in MODELLESS) for path in others)
    environments = sorted(name for name in {path.split("/")[2] for path in released} if there is None or name in there)
    return _said(trains=trains, tests=bool(others), promotion=bool(released) and not others, environments=environments)


def _said(**answers: bool | list[str]) -> dict[str, str]:
    return {name: json.dumps(answer) for name, answer in answers.items()}


def changed(since: str, head: str = "HEAD") -> list[str] | None:
    """Paths that differ between two commits, both names of a moved one; None where the first is not known."""
    known = subprocess.run(["git", "cat-file", "-e", f"{since}^{{commit}}"], capture_output=True, check=False)
    if known.returncode:
        return None
    command = ["git", "diff", "--name-only", "--no-renames", "-z", "--end-of-options", since, head]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return [name for name in done.stdout.split("\0") if name]


def environments(head: str = "HEAD") -> list[str]:
    """The environments that a commit has a folder of."""
    command = ["git", "ls-tree", "-d", "--name-only", "-z", "--end-of-options", head, ENVIRONMENTS]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return [name.removeprefix(ENVIRONMENTS) for name in done.stdout.split("\0") if name]


def main(arguments: list[str] | None = None) -> int:
    """Prints the answers, and makes them the outputs of a runner's step."""
    parser = argparse.ArgumentParser(prog="python3 -m release.changes", description="What a change has to run.")
    parser.add_argument("--since", required=True, metavar="COMMIT", help="before the change; zeros: all of it is new")
    answers = outputs(changed(parser.parse_args(arguments).since), environments())
    for name, answer in answers.items():
        print(f"{name}={answer}")
    runner.output(**answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
