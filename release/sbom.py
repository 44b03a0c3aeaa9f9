"""The image's bill of materials: what syft finds in it, as SPDX, attached to it in the layout.

A tag and a digest say which image; this says which Python, which packages and which of the system's libraries are in
it, for whoever has to know by name what a new advisory concerns.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from contracts import atomic
from contracts.errors import InputError
from release import go_program
from release.image import BUNDLE_LABEL, Image, subject
from release.oci import EMPTY, MANIFEST, Descriptor, Index, Layout, Manifest, encode

SPDX = "application/spdx+json"
NAME = "sbom.spdx.json"
TITLE = "org.opencontainers.image.title"
MODULE, PINNED, TOOLCHAIN = "github.com/anchore/syft/cmd/syft", "v1.57.0", "go1.27.3"
ADDRESS = "https://github.com/anchore/syft"


class Package(Struct, frozen=True, rename={"version": "versionInfo"}):
    """A package as SPDX has it; of what syft says of it, this much is read here."""

    name: str
    version: str = ""


class Document(Struct, frozen=True, rename={"version": "spdxVersion"}):
    """An SPDX document."""

    version: str
    packages: tuple[Package, ...] = ()


def syft(build: bool) -> str:
    """The syft to use: an installed one, one built here before, or, if `build`, one built now with Go.

    Raises InputError that says how to get one.
    """
    built = go_program.path("syft")
    if found := shutil.which("syft") or (str(built) if built.is_file() else ""):
        return found
    if build and go_program.obtainable():
        return str(go_program.build("syft", MODULE, PINNED, TOOLCHAIN))
    raise InputError(f"syft: is not here; install it ({ADDRESS}), or Go, with which `make sbom` builds {PINNED}")


def make(image: Image, layout: Layout, program: str) -> bytes:
    """The bill of materials of the image, as SPDX in JSON. Its time and its name for itself differ each time."""
    with tempfile.TemporaryDirectory(prefix="sbom-") as folder:
        alone = _alone(image, layout, Path(folder) / image.title)
        command = [program, "scan", f"oci-dir:{alone}", "--output", "spdx-json"]
        command += ["--source-name", image.title, "--source-version", str(image.pin)]
        environment = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false", "NO_COLOR": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise InputError(f"syft: {image.digest}: {said[-1] if said else f'exit code {done.returncode}'}")
    read(done.stdout, image.digest)
    return done.stdout


def attach(image: Image, layout: Layout, document: bytes) -> None:
    """Attach a bill of materials to the image, as one artifact."""
    manifest = Manifest(
        schema_version=2,
        media_type=MANIFEST,
        artifact_type=SPDX,
        config=layout.put(b"{}", EMPTY),
        layers=(layout.put(document, SPDX, {TITLE: NAME}),),
        subject=subject(image, layout),
        annotations={BUNDLE_LABEL: image.bundle_digest},
    )
    stored = layout.put(encode(manifest), MANIFEST)
    layout.add(Descriptor(media_type=MANIFEST, digest=stored.digest, size=stored.size, artifact_type=SPDX))


def attached(image: Image, layout: Layout) -> bytes | None:
    """The bill of materials that the image has, the one attached last; None when it has none."""
    artifacts = list(layout.referrers(image.digest, SPDX))
    return layout.read(artifacts[-1].layers[0]) if artifacts else None


def read(document: bytes, place: str) -> Document:
    """Raises InputError when it is no SPDX in JSON."""
    try:
        return msgspec.json.decode(document, type=Document)
    except msgspec.MsgspecError as error:
        raise InputError(f"{place}: {NAME}: is no SPDX ({error}); make it again") from error


def _alone(image: Image, layout: Layout, folder: Path) -> Path:
    """A layout with this one image, which is what syft takes; it follows no links."""
    atomic.write_text(folder / "oci-layout", '{"imageLayoutVersion":"1.0.0"}')
    atomic.write_bytes(folder / "index.json", encode(Index(manifests=(subject(image, layout),))))
    for digest in (image.digest, image.manifest.config.digest, *(layer.digest for layer in image.manifest.layers)):
        atomic.write_bytes(folder / "blobs" / "sha256" / digest.removeprefix("sha256:"), layout.blob(digest))
    return folder
