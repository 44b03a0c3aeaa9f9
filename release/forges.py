"""Which forge a command works with."""

import argparse

from release.forge import Forge
from release.git import Git
from release.git_forge import GitForge


def chosen(options: argparse.Namespace) -> tuple[Git, Forge]:
    """The repository and the forge that the command line names; raises InputError when it cannot be used."""
    git = Git.at(options.repository)
    return git, GitForge.at(git, options.target, options.remote, options.local)
