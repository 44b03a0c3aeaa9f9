"""An image's files, out of its layers: every blob verified, nothing written beside the folder that was asked for.

What counts is what lies below /srv: the code and the bundle. What a builder put around it (Python, its libraries) is
for a container runtime to unpack, and is looked at only for what would change /srv.
"""

import io
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath

from contracts import atomic
from contracts import bundle as bundles
from contracts.errors import InputError
from release.image import BUNDLE, HOME, Image
from release.oci import WAY_OUT, Layout

ZSTANDARD = bytes.fromhex("28b52ffd")
REMOVED, ALL_REMOVED = ".wh.", ".wh..wh..opq"  # a layer's word for: this file of the layers below is gone, or all are


def files(layout: Layout, image: Image, under: str = HOME) -> dict[str, bytes]:
    """Path -> bytes of the image's regular files below the folder `under`, a later layer over an earlier one.

    Layers may be plain, gzip or zstd. Raises InputError for a blob that is not what its digest says, for a name that
    leads elsewhere, and for anything below /srv, or in place of it, that is neither a file nor a folder.
    """
    found: dict[str, bytes] = {}
    for layer in image.manifest.layers:
        place = f"{layout.path}: {layer.digest}"
        data = _plain(layout.read(layer), place)
        below = set(found)
        try:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as tar:
                for entry in tar:
                    _add(found, below, tar, entry, PurePosixPath(under), place)
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise InputError(f"{place}: is not a tar ({error}); {WAY_OUT}") from error
    return found


def pull(layout: Layout, image: Image, target: Path) -> bool:
    """Unpack the image's /srv into the folder `target`, whole or not at all; False when exactly it lies there already.

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


def _add(
    found: dict[str, bytes],
    below: set[str],
    tar: tarfile.TarFile,
    entry: tarfile.TarInfo,
    under: PurePosixPath,
    place: str,
) -> None:
    """What one entry of a layer changes: a file more, or files of the layers `below` it gone."""
    name = _safe(entry.name, place)
    if name.name.startswith(REMOVED):
        gone = name.parent if name.name == ALL_REMOVED else name.with_name(name.name.removeprefix(REMOVED))
        for lower in [lower for lower in below if PurePosixPath(lower).is_relative_to(gone)]:
            below.discard(lower)
            del found[lower]
        return
    if entry.isdir() or not (name.is_relative_to(under) or under.is_relative_to(name)):
        return
    if not (entry.isreg() and name.is_relative_to(under) and (content := tar.extractfile(entry))):
        raise InputError(f"{place}: {entry.name}: is no regular file; {WAY_OUT}")
    found[name.as_posix()] = content.read()
    below.discard(name.as_posix())  # this layer's own now: what it removes, in whatever order, is of those below


def _plain(data: bytes, place: str) -> bytes:
    if not data.startswith(ZSTANDARD):
        return data  # tarfile sees by itself whether it is gzip
    if (program := shutil.which("zstd")) is None:
        raise InputError(f"{place}: is zstd; install zstd, or have the builder write gzip")
    done = subprocess.run([program, "-dcq"], input=data, capture_output=True, check=False)
    if done.returncode:
        raise InputError(f"{place}: {done.stderr.decode(errors='replace').strip()}; {WAY_OUT}")
    return done.stdout


def _safe(name: str, place: str) -> PurePosixPath:
    """The name as a path. Backslashes are systemd's to use in its own folders, not below /srv."""
    path, slashed = PurePosixPath(name), PurePosixPath(name.replace("\\", "/"))
    leads_out = path.is_absolute() or ".." in slashed.parts or "\0" in name
    if leads_out or ("\\" in name and slashed.is_relative_to(HOME)):
        raise InputError(f"{place}: {name!r}: leads out of the image; {WAY_OUT}")
    return path
