"""Copies what is live in the template into the new repository, under the names that were answered.

Jinja fills in two values below; this then runs inside the new repository's folder. Standard library only, no network,
and the same answers always give the same files (`cruft update` runs it for both sides of its comparison).
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

null, true, false = None, True, False
# JSON writes a character outside the basic plane as two surrogates, which only a JSON reader puts together again.
ROOT, ANSWERS = json.loads(json.dumps([{{template_root() | jsonify}}, {{cookiecutter | jsonify}}]))  # noqa: F821

TEMPLATE, TARGET = Path(ROOT), Path.cwd()
OVERLAY = next(TEMPLATE.glob("*cookiecutter.repo_slug*"))
# Never meant for a repository, and only looked for where no git says what is tracked.
JUNK = ("__pycache__", "*.py[cod]", ".DS_Store", ".*cache", ".venv*", ".tools", "*.env", "*.pem", "*.key")
NAMES = {token: ANSWERS[question] for question, token in ANSWERS["_reference"].items()}
TOKEN = re.compile("|".join(re.escape(token) for token in sorted(NAMES, key=len, reverse=True)))


def renamed(text: str) -> str:
    """The text with every token of the reference replaced, in one pass, so that no answer is replaced again."""
    return TOKEN.sub(lambda match: NAMES[match[0]], text)


def within(path: PurePosixPath, entries: list[str]) -> bool:
    """Is the file one of these entries, or in a folder that is?"""
    return any(path.is_relative_to(entry) for entry in entries)


def tracked() -> Iterator[PurePosixPath]:
    """The files that belong to the template: what git tracks, or where there is no git (a zip), what is no junk."""
    if (TEMPLATE / ".git").exists():
        # Called from a git hook, git's own variables would point at another repository.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        command = ["git", "-c", f"safe.directory={TEMPLATE}", "ls-files", "-z"]
        try:
            listing = subprocess.run(command, cwd=TEMPLATE, env=environment, check=True, capture_output=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", b"").decode(errors="replace") or str(error)
            sys.exit(f"{TEMPLATE}: git cannot list what is tracked here: {' '.join(reason.split())}")
        yield from (PurePosixPath(name) for name in listing.decode().split("\0") if name)
        return
    for folder, folders, files in os.walk(TEMPLATE):
        folders[:] = sorted(name for name in folders if not any(fnmatch(name, junk) for junk in JUNK))
        inside = PurePosixPath(Path(folder).relative_to(TEMPLATE).as_posix())
        for name in sorted(files):
            kept = inside != PurePosixPath("conf/local") or name == ".gitkeep"  # Kedro's place for credentials
            if kept and not any(fnmatch(name, junk) for junk in JUNK):
                yield inside / name


def copy(source: Path, target: Path) -> None:
    """Copy a file with its mode; what is text gets the new names."""
    if source.is_symlink():
        sys.exit(f"{source}: is a symbolic link; a zip and Windows would turn it into a text file")
    target.parent.mkdir(parents=True, exist_ok=True)
    content = source.read_bytes()
    try:
        if b"\0" not in content:
            content = renamed(content.decode("utf-8")).encode("utf-8")
    except UnicodeDecodeError:
        pass  # not text
    target.write_bytes(content)
    shutil.copymode(source, target)


def main() -> None:
    """Live files first, then the overlay, which cookiecutter has copied with the reference's names in it."""
    files = [path for path in tracked() if (TEMPLATE / path).exists()]  # git also names what was deleted since
    overlay = [path.relative_to(OVERLAY.name) for path in files if path.is_relative_to(OVERLAY.name)]
    dropped = [*ANSWERS["_template_only"], *map(str, overlay)]
    for path in files:
        if within(path, ANSWERS["_live"]) and not within(path, dropped):
            copy(TEMPLATE / path, TARGET / renamed(str(path)))
    for path in overlay:
        copy(OVERLAY / path, TARGET / path)


main()
