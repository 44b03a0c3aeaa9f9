"""An image's files, out of its layers: every blob verified, nothing written beside the folder that was asked for."""

import io
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from contracts import atomic
from contracts import bundle as bundles
from contracts.errors import InputError
from release.image import BUNDLE, Image
from release.oci import WAY_OUT, Layout


def files(layout: Layout, image: Image, under: str = "") -> dict[str, bytes]:
    """Path -> bytes of the image's regular files below the folder `under`, a later layer over an earlier one.

    Raises InputError for a blob that is not what its digest says, and for a name that leads elsewhere.
    """
    found: dict[str, bytes] = {}
    for layer in image.manifest.layers:
        data = layout.read(layer)
        try:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as tar:
                for entry in tar:
                    name = _safe(entry.name, f"{layout.path}: {layer.digest}")
                    if entry.isdir() or not name.is_relative_to(under):
                        continue
                    if not (entry.isreg() and (content := tar.extractfile(entry))):
                        raise InputError(f"{layout.path}: {layer.digest}: {entry.name}: is no regular file; {WAY_OUT}")
                    found[name.as_posix()] = content.read()
        except tarfile.TarError as error:
            raise InputError(f"{layout.path}: {layer.digest}: is not a tar ({error}); {WAY_OUT}") from error
    return found


def pull(layout: Layout, image: Image, target: Path) -> bool:
    """Unpack the image into the folder `target`, whole or not at all; False when exactly it lies there already.

    Raises InputError when something else lies there.
    """
    target = Path(target)
    contents = files(layout, image)
    if target.is_dir() and any(target.iterdir()):
        there = {file.relative_to(target).as_posix(): file for file in target.rglob("*") if not file.is_dir()}
        same = there.keys() == contents.keys() and all(there[name].read_bytes() == contents[name] for name in contents)
        if not same:
            raise InputError(f"{target}: holds something else; remove it, or give --to another folder")
        return False
    with atomic.folder(target) as temporary:
        for name, content in contents.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_bytes(content)
    return True


def provenance(layout: Layout, image: Image) -> bundles.Provenance:
    """Where the bundle inside the image comes from; raises InputError when it is not the one that the label names."""
    contents = files(layout, image, BUNDLE)
    if not contents:
        raise InputError(f"{layout.path}: {image.digest}: holds no /{BUNDLE}; build the image with `make image`")
    with tempfile.TemporaryDirectory(prefix="bundle-") as folder:
        for name, content in contents.items():
            place = Path(folder) / PurePosixPath(name).relative_to(BUNDLE)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        try:
            return bundles.load(Path(folder), image.bundle_digest).provenance
        except InputError as error:
            reason = str(error).replace(f"{folder}: ", "").replace(f"{folder}/", "")
            raise InputError(f"{layout.path}: {image.digest}: /{BUNDLE}: {reason}") from error


def _safe(name: str, place: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise InputError(f"{place}: {name!r}: leads out of the image; {WAY_OUT}")
    return path
