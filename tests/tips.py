"""The smallest template there is: one document, docs/tips.md, in each of its tagged versions."""

import json
import subprocess
from pathlib import Path

DOCUMENT = "docs/tips.md"


def write(work: Path, versions: dict[str, str]) -> None:
    """A repository with the template, the oldest version first."""
    place = work / "{{cookiecutter.repo_slug}}/docs"
    place.mkdir(parents=True)
    (work / "cookiecutter.json").write_text(json.dumps({"repo_slug": "x"}))
    _git(work, "init", "-q", "-b", "main")
    for tag, text in versions.items():
        (place / "tips.md").write_text(text)
        _git(work, "add", "-A")
        _git(work, "commit", "-q", "-m", tag)
        _git(work, "tag", tag)


def made_from(work: Path, address: str, tag: str) -> str:
    """The .cruft.json of a repository that was generated at a tag; `address` is where it looks for newer ones."""
    context = {"cookiecutter": {"repo_slug": "x", "_template": address}}
    said = {"template": address, "commit": _git(work, "rev-parse", tag), "checkout": tag, "directory": None}
    return json.dumps(said | {"context": context}, indent=2) + "\n"


def _git(work: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=work, check=True, capture_output=True, text=True).stdout.strip()
