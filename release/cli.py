"""The commands of the way to production. `python -m release --help`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from contracts import atomic
from contracts import bundle as bundles
from contracts.errors import InputError
from release import container, dispatch, image, pin, promotion, render, rollback, running, sbom, unpack
from release.forge import Delivery
from release.git import Git
from release.git_forge import GitForge
from release.oci import Layout

LAYOUT = Path("data/registry")
REPORTS = Path("data/reports")
STALE = 1


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: done, or nothing to do; 1: `render --check` found something stale; 2: refused, in one line."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except InputError as error:
        print(f"{options.name}: {error}", file=sys.stderr)
        return 2


def _image(options: argparse.Namespace) -> int:
    layout = Layout.create(options.layout)
    if builder := container.find(options.builder):
        recipe = container.Recipe(base=options.base, grpc=options.grpc, pip_conf=options.pip_conf)
        built = container.build(builder, options.bundle, layout, options.repository, recipe)
        size = sum(layer.size for layer in built.manifest.layers) / 1e6
        name = f"{built.title.lower()}:{built.pin.tag}"
        print(f"{container.DOCKERFILE} built by {builder}: {name} there, {size:.1f} MB to pull")
    else:
        if options.builder == container.ANY:
            print("no docker daemon, podman or buildah: code and bundle alone, to run where Python is (docs/image.md)")
        built = image.build(options.bundle, layout, options.repository)
    folder = options.reports / bundles.short(built.bundle_digest)
    attached = image.attach(built, folder, layout)
    names = ", ".join(attached)
    print(f"reports attached from {folder}: {names}" if names else f"{folder}: holds no report yet; none is attached")
    print(built.pin)
    return 0


def _sbom(options: argparse.Namespace) -> int:
    layout = Layout.open(options.layout)
    about = image.read(layout, pin.digest(options.image))
    document = None if options.again else sbom.attached(about, layout)
    said = "is attached"
    if document is None:
        document = sbom.make(about, layout, sbom.syft(build=True))
        sbom.attach(about, layout, document)
        said = "attached"
    if options.to:
        atomic.write_bytes(options.to, document)
    found = sbom.read(document, about.digest)
    print(f"{about.digest}: {found.version} with {len(found.packages)} packages {said}")
    return 0


def _promote(options: argparse.Namespace) -> int:
    if bool(options.force) != bool(options.reason.strip()):
        raise InputError('--force: goes with --reason "…", and the other way round; the reason stays in history')
    git, forge = _git(options)
    layout = Layout.open(options.layout)
    wanted = promotion.wanted(layout, options.environment, options.image, " ".join(options.reason.split()))
    released = promotion.promote(git, forge, layout, wanted, options.merge)
    if released.delivery.pull_request is None:
        print(f"{options.environment}: runs {released.before} already; nothing to do")
        return 0
    for line in released.forced:
        print(f"overruled: {line}")
    print(f"{options.environment}: {released.before} -> {released.after}")
    _say(released.delivery, forge, options)
    return 0


def _rollback(options: argparse.Namespace) -> int:
    git, forge = _git(options)
    environment, reason, only = options.environment, " ".join(options.reason.split()), ""
    if bool(environment) == bool(options.event):
        raise InputError("an environment, or --event FILE: one of the two says what to roll back")
    if options.event:
        event = dispatch.read(options.event)
        if event.event_type != dispatch.ABORTED:
            print(f"{event.event_type}: is for a person; nothing to do")
            return 0
        environment, only = dispatch.environment(git.directory, event), event.digest
        reason = reason or event.why
    back = rollback.roll_back(git, forge, environment, options.merge, reason, only)
    if back.reason:
        print(f"{back.reason}; nothing to do")
        return 0
    print(f"{environment}: {back.before} -> {back.after}")
    if not back.after.digest:
        print("Argo CD lets go of the environment and removes nothing; see docs/rollback.md to take down what runs")
    _say(back.delivery, forge, options)
    return 0


def _render(options: argparse.Namespace) -> int:
    if options.environment:
        print(render.manifests(options.repository, options.environment), end="")
        return 0
    found = render.stale(options.repository) if options.check else render.write(options.repository)
    said = "is not what the budgets say; run `make render` and commit it" if options.check else "put right"
    for path in found:
        print(f"{path}: {said}")
    if not found:
        print(f"gitops/ says what {render.BUDGETS} says")
    return STALE if options.check and found else 0


def _show(options: argparse.Namespace) -> int:
    git, forge = _git(options)
    layout = Layout.open(options.layout) if (options.layout / "oci-layout").exists() else None
    found = running.running(git, forge.tip(), options.environment, forge.target, layout)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return 0
    rows = msgspec.structs.asdict(found)
    width = max(len(name) for name in rows)
    for name, value in rows.items():
        print(f"{name.replace('_', ' '):{width}}  {value or '-'}")
    return 0


def _pull(options: argparse.Namespace) -> int:
    layout = Layout.open(options.layout)
    fetched = unpack.pull(layout, image.read(layout, pin.digest(options.image)), options.to)
    print(f"{options.to}: {'unpacked' if fetched else 'is there already'}")
    return 0


def _git(options: argparse.Namespace) -> tuple[Git, GitForge]:
    git = Git.at(options.repository)
    return git, GitForge.at(git, options.target, options.remote, options.local)


def _say(delivery: Delivery, forge: GitForge, options: argparse.Namespace) -> None:
    pull_request, merged = delivery.pull_request, delivery.merged
    if pull_request is None:
        return
    place = f" on {forge.remote}" if forge.remote else ""
    if merged is None:
        branch = f"{forge.remote}/{pull_request.branch}" if forge.remote else pull_request.branch
        print(
            f"branch {pull_request.branch}{place}: one commit, one file; `git show {pull_request.commit[:12]}` shows it"
        )
        print(f"to merge it: the same command with --merge, or `git merge --no-ff {branch}` on {forge.target}")
        return
    print(f"merged into {forge.target}{place} as {merged.commit[:12]}")
    if merged.note:
        print(merged.note)
    if options.name == "promote":
        print(f"to undo it: make rollback ENV={options.environment} ARGS=--merge")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m release",
        description="Images and their evidence, promotion and rollback through git, rendering of gitops/.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        added.set_defaults(command=run, name=name)
        added.add_argument(
            "--repository", type=Path, default=Path(), metavar="DIR", help="the folder above gitops/ (default: here)"
        )
        return added

    def layout(added: argparse.ArgumentParser) -> None:
        added.add_argument(
            "--layout", type=Path, default=LAYOUT, metavar="DIR", help=f"OCI layout folder (default: {LAYOUT})"
        )

    def forge(added: argparse.ArgumentParser) -> None:
        added.add_argument("--target", default="main", help="the branch that decides what runs (default: main)")
        added.add_argument(
            "--remote", default="origin", help="where that branch lives, if it is there (default: origin)"
        )
        added.add_argument(
            "--local", action="store_true", help="work on this repository alone, whatever remotes it has"
        )

    def change(added: argparse.ArgumentParser) -> None:
        forge(added)
        added.add_argument("--merge", action="store_true", help="merge the branch, too; without it, others look first")
        added.add_argument("--reason", default="", metavar="TEXT", help="why; it stays in the commit")

    name = {"metavar": "ENVIRONMENT", "help": "a folder in gitops/envs: staging, production"}
    wanted = {"required": True, "metavar": "DIGEST", "help": "sha256:…, or tag@sha256:… as `image` prints it"}

    added = command(
        "image", _image, "build a bundle's image into an OCI layout, attach its reports, print what to promote"
    )
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
    layout(added)

    added = command("sbom", _sbom, "list what is in an image (SPDX, made by syft) and attach the list to it")
    added.add_argument("--image", **wanted)  # type: ignore[arg-type]
    added.add_argument("--again", action="store_true", help="make it anew, although the image has one")
    added.add_argument("--to", type=Path, metavar="FILE", help="write it here, too")
    layout(added)

    added = command("promote", _promote, "put an image into an environment: one line, with the evidence for it")
    added.add_argument("environment", **name)  # type: ignore[arg-type]
    added.add_argument("--image", **wanted)  # type: ignore[arg-type]
    added.add_argument("--force", action="store_true", help="release although a gate refuses; needs --reason")
    layout(added)
    change(added)

    added = command("rollback", _rollback, "revert the last promotion of an environment")
    added.add_argument("environment", nargs="?", **name)  # type: ignore[arg-type]
    added.add_argument(
        "--event",
        type=Path,
        metavar="FILE",
        help="in place of an environment: what the cluster's notification says was aborted, as JSON; -: standard input",
    )
    change(added)

    added = command(
        "render", _render, "print an environment's manifests; without one, write what the budgets decide in gitops/"
    )
    added.add_argument("environment", nargs="?", **name)  # type: ignore[arg-type]
    added.add_argument("--check", action="store_true", help="write nothing; exit with 1 when something is stale")

    added = command("show", _show, "say what an environment runs, since when and on what evidence")
    added.add_argument("environment", **name)  # type: ignore[arg-type]
    added.add_argument("--json", action="store_true", help="as JSON")
    layout(added)
    forge(added)

    added = command("pull", _pull, "unpack an image's /srv from an OCI layout, every byte verified")
    added.add_argument("--image", **wanted)  # type: ignore[arg-type]
    added.add_argument("--to", type=Path, required=True, metavar="DIR", help="the folder to unpack into")
    layout(added)
    return parser
