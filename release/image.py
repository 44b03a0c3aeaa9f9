"""The image of a bundle: the server's code and the bundle as layers, with the reports about it attached.

Deterministic: the same bundle and the same code give the same digest, so there is no time and no commit in it. What
the layers lack is Python and the packages of `requirements/serve.txt`: the layout's readers have them (the demo), or
a builder makes the whole image of `serving/Dockerfile`, the same folders under the same labels (release/container.py).
"""

import io
import re
import tarfile
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from contracts import bundle as bundles
from contracts.errors import InputError
from release.oci import (
    CONFIG,
    EMPTY,
    LAYER,
    MANIFEST,
    REFERENCE,
    Config,
    Descriptor,
    Layout,
    Manifest,
    RootFilesystem,
    Settings,
    encode,
)
from release.pin import DIGEST, Pin

HOME = "srv"
BUNDLE = f"{HOME}/bundle"
USER = 10001
VERSION_LABEL = "org.opencontainers.image.version"
TITLE_LABEL = "org.opencontainers.image.title"
BUNDLE_LABEL = "ml.bundle.digest"
# They end in tags, branch names and commit trailers.
LABELS = {
    VERSION_LABEL: re.compile(r"\w[\w.-]{0,63}"),
    TITLE_LABEL: re.compile(r"\w[\w.-]{0,63}"),
    BUNDLE_LABEL: DIGEST,
}
REPORTS = "application/vnd.ml.reports.v1"
UNREGISTERED = "unregistered"  # the version of a bundle that no registry knows, a gate having refused it
CODE = ("contracts/**/*.py", "serving/**/*.py", "serving/docs.html", "requirements/serve.txt")
REPORT_TYPES = {".json": "application/json", ".xml": "application/xml", ".md": "text/markdown", ".html": "text/html"}


class Image(Struct, frozen=True, kw_only=True):
    """An image in a layout, by what its manifest and labels say."""

    digest: str
    manifest: Manifest
    version: str
    title: str
    bundle_digest: str

    @property
    def pin(self) -> Pin:
        """What an environment's line says to run this image."""
        return Pin(f"{self.version}-{self.bundle_digest.removeprefix('sha256:')[:12]}", self.digest)


def build(bundle: Path, layout: Layout, root: Path) -> Image:
    """Write the image of the bundle folder and the code under `root` into the layout.

    Raises InputError when the bundle is not whole or the code is not there. Building again changes nothing.
    """
    verified = bundles.load(bundle)
    layers = (
        _layer((f"{HOME}/{file.relative_to(root).as_posix()}", file.read_bytes()) for file in code(root)),
        _layer((f"{BUNDLE}/{file.name}", file.read_bytes()) for file in sorted(verified.path.iterdir())),
    )
    stored = tuple(layout.put(layer, LAYER) for layer in layers)
    config = _config(labels(verified), tuple(layer.digest for layer in stored))
    manifest = Manifest(schema_version=2, media_type=MANIFEST, config=layout.put(encode(config), CONFIG), layers=stored)
    return admit(layout, layout.put(encode(manifest), MANIFEST))


def code(root: Path) -> list[Path]:
    """The files of the server under `root`, sorted; raises InputError when they are not there."""
    found = sorted({file for pattern in CODE for file in Path(root).glob(pattern)})
    if not any(file.match("serving/__main__.py") for file in found):
        raise InputError(f"{root}: serving/__main__.py: is missing; give --repository the folder that holds serving/")
    return found


def labels(bundle: bundles.Bundle) -> dict[str, str]:
    """What an image says about the bundle in it."""
    version = bundle.provenance.version or UNREGISTERED
    return {VERSION_LABEL: version, TITLE_LABEL: bundle.manifest.name, BUNDLE_LABEL: bundle.digest}


def admit(layout: Layout, descriptor: Descriptor) -> Image:
    """List an image whose blobs are here, under the tag that its labels give; raises InputError without them."""
    image = read(layout, descriptor.digest)
    layout.add(_annotated(descriptor, {REFERENCE: image.pin.tag}))
    return image


def attach(image: Image, reports: Path, layout: Layout) -> tuple[str, ...]:
    """Attach the report files in a folder to the image, as one artifact; gives their names."""
    named = (file for file in sorted(Path(reports).glob("[!.]*")) if file.suffix in REPORT_TYPES)
    files = [file for file in named if file.is_file()]
    if not files:
        return ()
    title = "org.opencontainers.image.title"
    manifest = Manifest(
        schema_version=2,
        media_type=MANIFEST,
        artifact_type=REPORTS,
        config=layout.put(b"{}", EMPTY),
        layers=tuple(layout.put(file.read_bytes(), REPORT_TYPES[file.suffix], {title: file.name}) for file in files),
        subject=subject(image, layout),
        annotations={BUNDLE_LABEL: image.bundle_digest},
    )
    stored = layout.put(encode(manifest), MANIFEST)
    layout.add(Descriptor(media_type=MANIFEST, digest=stored.digest, size=stored.size, artifact_type=REPORTS))
    return tuple(file.name for file in files)


def subject(image: Image, layout: Layout) -> Descriptor:
    """How an artifact about the image names it."""
    return Descriptor(media_type=MANIFEST, digest=image.digest, size=len(layout.blob(image.digest)))


def read(layout: Layout, digest: str) -> Image:
    """The image under a digest; raises InputError when it is not there, not whole, or without its labels."""
    manifest = layout.manifest(digest)
    settings = layout.document(manifest.config.digest, Config).config
    said = settings.labels or {}
    for label, allowed in LABELS.items():
        if not allowed.fullmatch(said.get(label, "")):
            raise InputError(
                f"{layout.path}: {digest}: label {label}: is {said.get(label)!r}; build the image with `make image`"
            )
    return Image(
        digest=digest,
        manifest=manifest,
        version=said[VERSION_LABEL],
        title=said[TITLE_LABEL],
        bundle_digest=said[BUNDLE_LABEL],
    )


def _layer(files: Iterable[tuple[str, bytes]]) -> bytes:
    """A tar whose bytes depend on names and contents alone; plain, since zlib's versions compress differently."""
    contents = dict(files)
    folders = {parent.as_posix() for name in contents for parent in Path(name).parents if parent.name}
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted({*contents, *folders}):
            entry = tarfile.TarInfo(name)
            entry.uid = entry.gid = USER
            entry.mtime = 0
            if name in contents:
                entry.size, entry.mode = len(contents[name]), 0o644
                tar.addfile(entry, io.BytesIO(contents[name]))
            else:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
    return memory.getvalue()


def _config(described: dict[str, str], layers: tuple[str, ...]) -> Config:
    return Config(
        architecture="amd64",  # nothing in the layers depends on it; fixed, so that the digest does not
        os="linux",
        config=Settings(
            user=f"{USER}:{USER}",
            exposed_ports={"8080/tcp": {}, "8081/tcp": {}},
            env=("PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1", "ORT_DISABLE_TELEMETRY=1"),
            entrypoint=("python", "-m", "serving"),
            cmd=(f"--bundle=/{BUNDLE}", "--host=0.0.0.0"),
            working_dir=f"/{HOME}",
            labels=described,
            stop_signal="SIGTERM",
        ),
        rootfs=RootFilesystem(type="layers", diff_ids=layers),
    )


def _annotated(descriptor: Descriptor, annotations: dict[str, str]) -> Descriptor:
    return Descriptor(
        media_type=descriptor.media_type, digest=descriptor.digest, size=descriptor.size, annotations=annotations
    )
