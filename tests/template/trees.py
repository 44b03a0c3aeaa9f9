"""The template's lists, and the file trees that the tests compare."""

import json
import subprocess
from pathlib import Path, PurePosixPath
from types import MappingProxyType

ROOT = Path(__file__).resolve().parents[2]
SPEC = MappingProxyType(json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8")))
TOKENS = tuple(SPEC["_reference"].values())
OVERLAY = "{{cookiecutter.repo_slug}}"
TAG = "v1.0.0"
OTHER = MappingProxyType(
    {
        "model_name": "Churn Risk",
        "repo_slug": "churn-risk",
        "github_owner": "Example-Bank",
        "image": "quay.io:443/bank/models/churn",
        "owner_team": "retention",
    }
)


def git(folder, *arguments):
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tracked(folder):
    names = git(folder, "ls-files", "-z").split("\0")
    return sorted(name for name in names if name and (folder / name).exists())


def owners(path):
    """The lists that claim a file; `_template_only` takes its part out of a live folder."""
    path = PurePosixPath(path)
    template_only = any(path.is_relative_to(entry) for entry in SPEC["_template_only"])
    claims = {
        "overlay": path.is_relative_to(OVERLAY),
        "template only": template_only,
        "live": any(path.is_relative_to(entry) for entry in SPEC["_live"]) and not template_only,
    }
    return [name for name, claimed in claims.items() if claimed]


def live(folder):
    return [path for path in tracked(folder) if owners(path) == ["live"]]


def files(folder):
    """Path -> content of every file below, without git's own and cruft's state."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(folder).parts and path.name != ".cruft.json"
    }


def committed(folder, tag=None):
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A", "--force")
    git(folder, "commit", "-q", "-m", "As generated")
    if tag:
        git(folder, "tag", tag)
    return folder
