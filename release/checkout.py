"""The working tree that somebody has of a branch: found, and moved along only when that takes nothing from anybody."""

from pathlib import Path

from release.git import Git


def of(git: Git, branch: str) -> Git | None:
    """The working tree that has a branch checked out; None where none has."""
    folder = None
    for line in git.text("worktree", "list", "--porcelain").splitlines():
        key, _, value = line.partition(" ")
        if key == "worktree":
            folder = Path(value)
        elif key == "branch" and value == f"refs/heads/{branch}" and folder and folder.is_dir():
            return Git(folder)
    return None


def clean(here: Git) -> bool:
    """Is nothing that git tracks changed in it?"""
    return not here.text("status", "--porcelain", "--untracked-files=no")


def follow(git: Git, branch: str, commit: str) -> str:
    """Bring a local branch to where its remote's is, if that takes nothing from anybody; else say what to do."""
    here = git.commit(f"refs/heads/{branch}")
    if here is None or here == commit or not git.contains(commit, here):
        return ""
    place = of(git, branch)
    if place is None:
        git.run("update-ref", f"refs/heads/{branch}", commit, here)
        return ""
    if not clean(place):
        return f"{place.directory} has uncommitted changes and stays where it is; `git pull --ff-only` later"
    return "" if place.run("merge", "--ff-only", "--quiet", commit).code == 0 else "`git pull --ff-only` later"
