"""An OCI image layout folder as registry: blobs by digest, an index, and artifacts that name an image as their subject.

OCI image specification 1.1: image-layout, manifest (artifactType, subject), and what the distribution specification
calls referrers, found here by reading the index. Every blob is checked against its digest whenever it is read.
"""

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from contracts import atomic
from contracts.errors import InputError

T = TypeVar("T")
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
COMPRESSED_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"  # the same document under an older name
EMPTY = "application/vnd.oci.empty.v1+json"
REFERENCE = "org.opencontainers.image.ref.name"
LARGEST_DOCUMENT = 4 * 1024 * 1024  # a manifest or config, as registries limit them
WAY_OUT = "build or fetch the image again"


class Descriptor(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What names a blob: media type, digest, size."""

    media_type: str
    digest: str
    size: int
    artifact_type: str | None = None
    annotations: dict[str, str] = {}


class Manifest(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An image, or an artifact about one (`subject`)."""

    schema_version: int
    media_type: str = ""
    artifact_type: str | None = None
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class Settings(Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """How a container of the image starts, and its labels. Builders write null for what an image does not say."""

    user: str = ""
    exposed_ports: dict[str, dict[str, str]] | None = None
    env: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    stop_signal: str = ""


class RootFilesystem(Struct, frozen=True, kw_only=True):
    """Digests of the layers, unpacked."""

    type: str
    diff_ids: tuple[str, ...]


class Config(Struct, frozen=True, kw_only=True):
    """The image's configuration document."""

    architecture: str
    os: str
    config: Settings = Settings()
    rootfs: RootFilesystem


class Index(Struct, frozen=True, kw_only=True, rename="camel"):
    """`index.json`: what the layout holds."""

    schema_version: int = 2
    media_type: str = INDEX
    manifests: tuple[Descriptor, ...] = ()


class Layout(Struct, frozen=True):
    """A layout folder. Writers may work at the same time, and may be killed at any time."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> "Layout":
        """The layout at `path`, made if it is not there."""
        marker = Path(path) / "oci-layout"
        if not marker.exists():
            atomic.write_text(marker, '{"imageLayoutVersion":"1.0.0"}')
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> "Layout":
        """The layout at `path`; raises InputError when there is none, or one of another version."""
        marker = Path(path) / "oci-layout"
        try:
            version = msgspec.json.decode(marker.read_bytes(), type=dict[str, str]).get("imageLayoutVersion")
        except OSError as error:
            raise InputError(f"{path}: is no OCI layout ({error.strerror}); `make image` makes one") from error
        except msgspec.MsgspecError as error:
            raise InputError(f"{marker}: {error}; {WAY_OUT} into another folder") from error
        if version != "1.0.0":
            raise InputError(f"{marker}: imageLayoutVersion: is {version}, this version reads 1.0.0")
        return cls(Path(path))

    def put(self, data: bytes, media_type: str, annotations: dict[str, str] | None = None) -> Descriptor:
        """Store a blob under its digest; one that is there already and whole is left alone."""
        hexadecimal = hashlib.sha256(data).hexdigest()
        place = self.path / "blobs" / "sha256" / hexadecimal
        if not (place.is_file() and hashlib.sha256(place.read_bytes()).hexdigest() == hexadecimal):
            atomic.write_bytes(place, data)
        digest = f"sha256:{hexadecimal}"
        return Descriptor(media_type=media_type, digest=digest, size=len(data), annotations=annotations or {})

    def blob(self, digest: str, limit: int | None = None) -> bytes:
        """The bytes under a digest, verified; raises InputError when they are missing, too many, or not those."""
        algorithm, _, hexadecimal = digest.partition(":")
        if algorithm != "sha256" or len(hexadecimal) != 64 or set(hexadecimal) - set("0123456789abcdef"):
            raise InputError(f"{self.path}: {digest}: is not sha256:<64 hex>; {WAY_OUT}")
        place = self.path / "blobs" / "sha256" / hexadecimal
        try:
            if limit is not None and place.stat().st_size > limit:
                raise InputError(f"{self.path}: {digest}: is larger than {limit} bytes; {WAY_OUT}")
            data = place.read_bytes()
        except OSError as error:
            raise InputError(f"{self.path}: {digest}: is not in this layout ({error.strerror}); {WAY_OUT}") from error
        if hashlib.sha256(data).hexdigest() != hexadecimal:
            raise InputError(f"{self.path}: {digest}: its bytes were changed; {WAY_OUT}")
        return data

    def read(self, descriptor: Descriptor) -> bytes:
        """The bytes that a descriptor names, verified by digest and size."""
        data = self.blob(descriptor.digest, descriptor.size)
        if len(data) != descriptor.size:
            raise InputError(
                f"{self.path}: {descriptor.digest}: has {len(data)} bytes, not {descriptor.size}; {WAY_OUT}"
            )
        return data

    def manifest(self, digest: str) -> Manifest:
        """The manifest under a digest, whether the index lists it or not."""
        manifest = self.document(digest, Manifest)
        if manifest.media_type not in ("", MANIFEST, DOCKER_MANIFEST):
            raise InputError(f"{self.path}: {digest}: mediaType: is {manifest.media_type}, not that of one image")
        return manifest

    def document(self, digest: str, kind: type[T]) -> T:
        """A JSON blob, typed."""
        try:
            return msgspec.json.decode(self.blob(digest, LARGEST_DOCUMENT), type=kind)
        except msgspec.MsgspecError as error:
            raise InputError(f"{self.path}: {digest}: {error}; {WAY_OUT}") from error

    def index(self) -> Index:
        """What the layout lists, in the order in which it was added."""
        place = self.path / "index.json"
        try:
            return msgspec.json.decode(place.read_bytes(), type=Index)
        except FileNotFoundError:
            return Index()
        except (OSError, msgspec.MsgspecError) as error:
            raise InputError(f"{place}: {error}; {WAY_OUT} into another folder") from error

    def add(self, descriptor: Descriptor) -> None:
        """List a manifest; a reference name moves to it from whatever had it before."""
        name = descriptor.annotations.get(REFERENCE)
        with self._locked():
            listed = self.index()
            kept = [_without(name, entry) for entry in listed.manifests if entry.digest != descriptor.digest]
            place = next((i for i, e in enumerate(listed.manifests) if e.digest == descriptor.digest), len(kept))
            changed = Index(manifests=(*kept[:place], descriptor, *kept[place:]))
            if changed != listed:
                atomic.write_bytes(self.path / "index.json", encode(changed))

    def referrers(self, digest: str, artifact_type: str) -> Iterator[Manifest]:
        """Artifacts of a type whose subject is `digest`, the first attached first."""
        for entry in self.index().manifests:
            if entry.artifact_type == artifact_type:
                manifest = self.manifest(entry.digest)
                if manifest.subject and manifest.subject.digest == digest:
                    yield manifest

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.path / ".index.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # gone with the process, however that ends
            yield


def encode(document: Struct) -> bytes:
    """JSON whose bytes, and so whose digest, depend on the content alone."""
    return msgspec.json.encode(document, order="sorted")


def _without(name: str | None, entry: Descriptor) -> Descriptor:
    if name is None or entry.annotations.get(REFERENCE) != name:
        return entry
    kept = {key: value for key, value in entry.annotations.items() if key != REFERENCE}
    return msgspec.structs.replace(entry, annotations=kept)
