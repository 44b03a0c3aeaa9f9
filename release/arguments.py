"""The command line: what each command takes. What it does is `release.cli`'s to say."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from release import container

LAYOUT = Path("data/registry")
REPORTS = Path("data/reports")

Run = Callable[[argparse.Namespace], int]


def parser(runs: Mapping[str, Run]) -> argparse.ArgumentParser:
    """The parser; what it gives has the `name` of the command and, as `command`, what runs it."""
    made = argparse.ArgumentParser(
        prog="python -m release",
        description="Images and their evidence, promotion and rollback through git, rendering of gitops/.",
    )
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    for name, (text, take) in COMMANDS.items():
        added = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        added.set_defaults(command=runs[name], name=name)
        added.add_argument(
            "--repository", type=Path, default=Path(), metavar="DIR", help="the folder above gitops/ (default: here)"
        )
        take(added)
    return made


def _image(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "--builder",
        default=container.NONE,
        choices=(container.NONE, container.ANY, *container.ASK),
        help="who builds serving/Dockerfile; none: code and bundle alone, without Python (default: none)",
    )
    added.add_argument("--base", default="", metavar="IMAGE", help="the base image (default: the Dockerfile's)")
    added.add_argument("--grpc", action="store_true", help="with the packages of the gRPC front")
    added.add_argument(
        "--pip-conf", type=Path, metavar="FILE", help="where packages come from (default: what pip reads here)"
    )
    added.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="the bundle's folder")
    added.add_argument(
        "--reports", type=Path, default=REPORTS, metavar="DIR", help=f"reports by bundle digest (default: {REPORTS})"
    )
    _layout(added)


def _sbom(added: argparse.ArgumentParser) -> None:
    _digest(added)
    added.add_argument("--again", action="store_true", help="make it anew, although the image has one")
    added.add_argument("--to", type=Path, metavar="FILE", help="write it here, too")
    _layout(added)


def _promote(added: argparse.ArgumentParser) -> None:
    _environment(added)
    _digest(added)
    added.add_argument("--force", action="store_true", help="release although a gate refuses; needs --reason")
    _layout(added)
    _change(added)


def _rollback(added: argparse.ArgumentParser) -> None:
    _environment(added, optional=True)
    added.add_argument(
        "--event",
        type=Path,
        metavar="FILE",
        help="in place of an environment: what the cluster's notification says was aborted, as JSON; -: standard input",
    )
    _change(added)


def _render(added: argparse.ArgumentParser) -> None:
    _environment(added, optional=True)
    added.add_argument("--check", action="store_true", help="write nothing; exit with 1 when something is stale")


def _show(added: argparse.ArgumentParser) -> None:
    _environment(added)
    added.add_argument("--json", action="store_true", help="as JSON")
    _layout(added)
    _forge(added)


def _attach(added: argparse.ArgumentParser) -> None:
    _digest(added)
    added.add_argument(
        "--reports", type=Path, default=REPORTS, metavar="DIR", help=f"reports by bundle digest (default: {REPORTS})"
    )
    _layout(added)


def _pull(added: argparse.ArgumentParser) -> None:
    _digest(added)
    added.add_argument("--to", type=Path, required=True, metavar="DIR", help="the folder to unpack into")
    _layout(added)


def _registry(word: str) -> Callable[[argparse.ArgumentParser], None]:
    def take(added: argparse.ArgumentParser) -> None:
        _digest(added)
        added.add_argument(
            word, dest="place", default="", metavar="REGISTRY/NAME", help="(default: the image's name in gitops/)"
        )
        _layout(added)

    return take


def _status(added: argparse.ArgumentParser) -> None:
    _environment(added, optional=True)
    added.add_argument("--json", action="store_true", help="as JSON")
    _layout(added)
    _forge(added)


def _dora(added: argparse.ArgumentParser) -> None:
    _environment(added, optional=True)
    added.add_argument("--days", type=float, default=90.0, help="how far back (default: 90)")
    added.add_argument("--json", action="store_true", help="as JSON")
    _forge(added)


def _check(added: argparse.ArgumentParser) -> None:
    _environment(added)
    added.add_argument("--labels", default="", metavar="A,B", help="of the pull request; `rollback` passes")
    added.add_argument("--branch", default="", metavar="NAME", help="of the pull request; `rollback/…` passes, too")
    added.add_argument("--strict", action="store_true", help="refuse what is unknown, too")
    added.add_argument("--at", default="", metavar="MOMENT", help="as 2026-12-23T18:00+01:00 (default: now)")


def _summarise(added: argparse.ArgumentParser) -> None:
    _environment(added, optional=True)
    added.add_argument(
        "--reports",
        type=Path,
        action="append",
        required=True,
        metavar="DIR",
        help="a folder of reports, or one of them; may be given again",
    )
    added.add_argument("--pull-request", type=int, metavar="NUMBER", help="put them into its comment, too")
    added.add_argument("--verdict", action="store_true", help="exit with 1 when one of them refuses")
    _forge(added)


def _github_setup(added: argparse.ArgumentParser) -> None:
    added.add_argument("--apply", action="store_true", help="write; without it, the difference is shown")
    added.add_argument("--prune", action="store_true", help="take away what was added by hand to what the files name")
    added.add_argument(
        "--on", default="", metavar="OWNER/NAME", help="(default: GITHUB_REPOSITORY, else where origin points)"
    )


COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "image": ("build a bundle's image into an OCI layout, attach its reports, print what to promote", _image),
    "sbom": ("list what is in an image (SPDX, made by syft) and attach the list to it", _sbom),
    "promote": ("put an image into an environment: one line, with the evidence for it", _promote),
    "rollback": ("revert the last promotion of an environment", _rollback),
    "render": ("print an environment's manifests; without one, write what the budgets decide in gitops/", _render),
    "attach": ("attach the reports about an image's bundle to it", _attach),
    "push": ("bring an image and all that is attached to it into a registry", _registry("--to")),
    "fetch": ("bring an image and all that is attached to it from a registry", _registry("--from")),
    "status": ("say what runs where, since when, who let it in and on which gates", _status),
    "history": ("list all that an environment ran", _show),
    "dora": ("say how often and how fast releases come, and how many are taken back", _dora),
    "check": ("say whether something new may go out now: freezes, quiet hours, error budget", _check),
    "doctor": ("say what the repository lacks for a release", _status),
    "summarise": ("put reports into a job's summary, annotations and a pull request's comment", _summarise),
    "github-setup": ("bring the repository on GitHub to what .github/settings says", _github_setup),
    "show": ("say what an environment runs, since when and on what evidence", _show),
    "pull": ("unpack an image's /srv from an OCI layout, every byte verified", _pull),
}


# --- what several commands take


def _environment(added: argparse.ArgumentParser, optional: bool = False) -> None:
    added.add_argument(
        "environment",
        nargs="?" if optional else None,
        metavar="ENVIRONMENT",
        help="a folder in gitops/envs: staging, production",
    )


def _digest(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "--image", required=True, metavar="DIGEST", help="sha256:…, or tag@sha256:… as `image` prints it"
    )


def _layout(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "--layout", type=Path, default=LAYOUT, metavar="DIR", help=f"OCI layout folder (default: {LAYOUT})"
    )


def _forge(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "--forge",
        default="auto",
        choices=("auto", "git", "github"),
        help="where pull requests are; auto: GitHub where GITHUB_REPOSITORY and GITHUB_TOKEN are set, else git alone",
    )
    added.add_argument("--target", default="main", help="the branch that decides what runs (default: main)")
    added.add_argument("--remote", default="origin", help="where that branch lives, if it is there (default: origin)")
    added.add_argument("--local", action="store_true", help="work on this repository alone, whatever remotes it has")


def _change(added: argparse.ArgumentParser) -> None:
    _forge(added)
    added.add_argument("--merge", action="store_true", help="merge the branch, too; without it, others look first")
    added.add_argument("--reason", default="", metavar="TEXT", help="why; it stays in the commit")
