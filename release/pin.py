"""The pin: the one line of an environment that says which image it runs, and nothing else.

    newTag: 7-0123456789ab@sha256:<64 hex>     version, first digits of the bundle's digest, the image's digest

It stands in `gitops/envs/<environment>/release/kustomization.yaml`. An environment that runs nothing yet has `none`:
it renders, no digest means that a cluster's policy refuses it, and Argo CD gets no application for it.
"""

import re

import yaml
from msgspec import Struct

from contracts.errors import InputError

LINE = re.compile(rb"^(?P<key>[ \t]*(?:-[ \t]+)?newTag:[ \t]+)(?P<value>[^\s#]+)(?P<rest>[ \t]*(?:#[^\n]*)?\r?)$", re.M)
VALUE = re.compile(r"(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})@(?P<digest>sha256:[0-9a-f]{64})")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
ENVIRONMENT = re.compile(r"[a-z][a-z0-9-]{0,39}")
NOTHING = "none"
ENVIRONMENTS = "gitops/envs"


class Pin(Struct, frozen=True):
    """What the line says: a tag for people and the image's digest. Both are empty where nothing runs yet."""

    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.tag}@{self.digest}" if self.digest else NOTHING


def parse(value: str, place: str) -> Pin:
    """Read `tag@sha256:…` or `none`; raises InputError for anything else, a bare tag above all."""
    if value == NOTHING:
        return Pin()
    if not (found := VALUE.fullmatch(value)):
        raise InputError(f"{place}: newTag: {value!r} is not tag@sha256:<64 hex>; a tag alone can change what it means")
    return Pin(found["tag"], found["digest"])


def digest(value: str) -> str:
    """The digest of what a person names an image by: `sha256:…`, `tag@sha256:…` or `registry/name:tag@sha256:…`."""
    wanted = value.rpartition("@")[2]
    if not DIGEST.fullmatch(wanted):
        raise InputError(f"--image: {value!r} holds no sha256:<64 hex>; `make image` prints what to give")
    return wanted


def path(environment: str) -> str:
    """Where the line of an environment stands, from the top of the repository."""
    if not ENVIRONMENT.fullmatch(environment):
        raise InputError(
            f"{environment!r}: is no environment's name; a-z, 0-9 and hyphens, as the folders in {ENVIRONMENTS}"
        )
    return f"{ENVIRONMENTS}/{environment}/release/kustomization.yaml"


def read(content: bytes, place: str) -> Pin:
    """The pin in a release file; raises InputError when the line is missing, doubled or without effect."""
    return parse(_line(content, place)["value"].decode(), place)


def write(content: bytes, pin: Pin, place: str) -> bytes:
    """The file with another pin; every other byte stays."""
    found = _line(content, place)
    return content[: found.start("value")] + str(pin).encode() + content[found.end("value") :]


def _line(content: bytes, place: str) -> re.Match[bytes]:
    try:
        document = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise InputError(f"{place}: is not YAML: {' '.join(str(error).split())}") from error
    # kustomize takes `images:` of a nested Kustomization to mean its own resources, of which there are none: the line
    # would change nothing, without a word.
    if not isinstance(document, dict) or document.get("kind") != "Component":
        raise InputError(f"{place}: kind: must be Component, or its images change nothing; see docs/release.md")
    found = list(LINE.finditer(content))
    if len(found) != 1:
        raise InputError(f"{place}: newTag: stands there {len(found)} times, not once; see docs/release.md")
    return found[0]
