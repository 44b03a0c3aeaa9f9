"""The commands of the way to production. `python -m release --help`."""

import argparse
import os
import sys

from contracts import atomic
from contracts import bundle as bundles
from contracts.errors import InputError
from release import (
    container,
    dispatch,
    forges,
    image,
    inspection,
    pin,
    promotion,
    registry,
    render,
    rollback,
    running,
    sbom,
    unpack,
)
from release.arguments import Run, parser
from release.distribution import Repository
from release.forge import Delivery, Forge
from release.git import Git
from release.github import rest, setup
from release.oci import Layout

STALE = 1


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: done, or nothing to do; 1: a command that was to look says no; 2: refused, in one line."""
    options = parser(RUNS).parse_args(arguments)
    command: Run = options.command
    try:
        code = command(options)
        sys.stdout.flush()
        return code
    except InputError as error:
        print(f"{options.name}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read has seen enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


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
    _attach_reports(built, layout, options)
    print(built.pin)
    return 0


def _attach(options: argparse.Namespace) -> int:
    layout = Layout.open(options.layout)
    _attach_reports(image.read(layout, pin.digest(options.image)), layout, options)
    return 0


def _attach_reports(about: image.Image, layout: Layout, options: argparse.Namespace) -> None:
    folder = options.reports / bundles.short(about.bundle_digest)
    names = ", ".join(image.attach(about, folder, layout))
    print(f"reports attached from {folder}: {names}" if names else f"{folder}: holds no report yet; none is attached")


def _push(options: argparse.Namespace) -> int:
    place = _registry(options)
    moved = registry.push(Layout.open(options.layout), pin.digest(options.image), place)
    print(_moved(moved, f"{place} has it", "sent"))
    return 0


def _fetch(options: argparse.Namespace) -> int:
    place = _registry(options)
    moved = registry.fetch(Layout.create(options.layout), pin.digest(options.image), place)
    print(_moved(moved, f"{options.layout} has it from {place}", "came"))
    return 0


def _registry(options: argparse.Namespace) -> Repository:
    return Repository.at(options.place or running.image_name(options.repository))


def _moved(moved: registry.Moved, where: str, how: str) -> str:
    attached = f"with {len(moved.attached)} attached" if moved.attached else "with nothing attached"
    return f"{moved.digest}: {where}, {attached}; {moved.bytes / 1e6:.1f} MB {how}"


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
    git, forge = forges.chosen(options)
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
    git, forge = forges.chosen(options)
    environment, reason, only = options.environment, " ".join(options.reason.split()), ""
    if bool(environment) == bool(options.event):
        raise InputError("an environment, or --event FILE: one of the two says what to roll back")
    if options.event:
        event = dispatch.read(options.event)
        if event.kind != dispatch.ABORTED:
            print(f"{event.kind}: is for a person; nothing to do")
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


def _pull(options: argparse.Namespace) -> int:
    layout = Layout.open(options.layout)
    fetched = unpack.pull(layout, image.read(layout, pin.digest(options.image)), options.to)
    print(f"{options.to}: {'unpacked' if fetched else 'is there already'}")
    return 0


def _github_setup(options: argparse.Namespace) -> int:
    github = rest.connect(options.on, git=Git.at(options.repository))
    return setup.run(options.repository, github, options.apply, options.prune)


def _say(delivery: Delivery, forge: Forge, options: argparse.Namespace) -> None:
    pull_request, merged = delivery.pull_request, delivery.merged
    if pull_request is None:
        return
    place = f" on {forge.remote}" if forge.remote else ""
    if merged is None and pull_request.url:
        print(f"pull request {pull_request.url}: one commit, one file")
        print("to merge it: there, or the same command with --merge")
        return
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


RUNS = {
    "image": _image,
    "sbom": _sbom,
    "promote": _promote,
    "rollback": _rollback,
    "render": _render,
    "attach": _attach,
    "push": _push,
    "fetch": _fetch,
    "pull": _pull,
    "github-setup": _github_setup,
    **inspection.RUNS,
}
