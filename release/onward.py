"""What goes on from one environment to the next, once a cluster says that it is healthy there.

    python -m release.onward COMMIT

The cluster says so of a commit, as often as it looks: whoever asks may ask twice, late, and about a commit that others
have followed. Where people closed the pull request without a merge, nothing goes on by itself. The pin is printed, and
is the output `pin` of a runner's step; it is empty when there is nothing to ask.
"""

import argparse
import os
import sys
from pathlib import Path

from contracts.errors import InputError
from release import history, pin, runner
from release.forge import Refusals
from release.git import Git
from release.github.forge import GitHubForge
from release.github.rest import connect
from release.pin import Pin
from release.promotion import BEFORE, branch


def onward(
    git: Git, healthy: str, environment: str, tip: str = "HEAD", forge: Refusals | None = None
) -> tuple[Pin, str]:
    """The pin to propose for `environment`, or an empty one and why not: by git, and by what people said on the forge.

    Raises InputError when the commit is not known here: what a status says of another repository's counts for nothing.
    """
    earlier = BEFORE[environment]
    commit = git.commit(healthy)
    if commit is None or not git.contains(tip, commit):
        raise InputError(f"{healthy}: is no commit of this branch; a status counts for one that is merged")
    was, now, next_ = (_pin(git, at, name) for at, name in ((commit, earlier), (tip, earlier), (tip, environment)))
    if not now.digest:
        return Pin(), f"{earlier} runs nothing yet"
    if was.digest != now.digest:
        return Pin(), f"{earlier} has moved on from {was} to {now}, which has to be healthy itself"
    if next_.digest == now.digest:
        return Pin(), f"{environment} runs {now} already"
    for name in (environment, earlier):
        if step := history.taken_back(history.steps(git, tip, name)).get(now.digest):
            return Pin(), f"{name} took {now} back in {step.commit[:12]}; only a person releases it again"
    if forge and (number := forge.declined(branch(environment, now.digest))):
        by_hand = f"make promote ENV={environment} IMAGE={now}"
        return Pin(), f"{environment}: {now} was refused by #{number}; reopen it, or promote by hand: {by_hand}"
    return now, f"{earlier} is healthy with {now}; {environment} runs {next_}"


def _pin(git: Git, commit: str, environment: str) -> Pin:
    path = pin.path(environment)
    return pin.read(git.file(commit, path) or b"", f"{commit[:12]}: {path}")


def main(arguments: list[str] | None = None) -> int:
    """Prints the pin and the reason; exit code 2, in one line, for a commit that is not ours."""
    parser = argparse.ArgumentParser(prog="python -m release.onward", description="What to propose next.")
    parser.add_argument("commit", metavar="COMMIT", help="of which the cluster said that it is healthy")
    parser.add_argument("--environment", default="production", choices=sorted(BEFORE), help="(default: production)")
    options = parser.parse_args(arguments)
    try:
        git = Git.at(Path())
        asked = os.environ.get("GITHUB_REPOSITORY") and os.environ.get("GITHUB_TOKEN")
        forge = GitHubForge(git, connect(git=git)) if asked else None
        found, reason = onward(git, options.commit, options.environment, forge=forge)
    except InputError as error:
        print(f"onward: {error}", file=sys.stderr)
        return 2
    print(reason)
    runner.output(pin=str(found) if found.digest else "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
