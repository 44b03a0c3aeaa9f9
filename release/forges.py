"""Which forge a command works with."""

import argparse
import os

from contracts.errors import InputError
from release.forge import Forge
from release.git import Git
from release.git_forge import GitForge
from release.github.forge import GitHubForge
from release.github.rest import connect

AUTO, GIT, GITHUB = "auto", "git", "github"


def chosen(options: argparse.Namespace) -> tuple[Git, Forge]:
    """The repository and the forge that the command line names; raises InputError when it cannot be used."""
    git = Git.at(options.repository)
    if not on_github(options):
        return git, GitForge.at(git, options.target, options.remote, options.local)
    return git, GitHubForge(git, connect(git=git), options.target, options.remote)


def on_github(options: argparse.Namespace) -> bool:
    """Whether GitHub is asked: when told so, or when the environment names a repository there and has a token."""
    if options.local and options.forge == GITHUB:
        raise InputError("--local: works on this repository alone, --forge github on GitHub's; leave one of them out")
    named = os.environ.get("GITHUB_REPOSITORY") and os.environ.get("GITHUB_TOKEN")
    return options.forge == GITHUB or bool(options.forge == AUTO and named and not options.local)
