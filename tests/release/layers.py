"""Images made of chosen layers, as builders make them: several, compressed, on top of a system's files."""

import gzip
import io
import subprocess
import tarfile

from release import image, unpack
from release.oci import COMPRESSED_LAYER, CONFIG, MANIFEST, Config, Manifest, encode

ZSTANDARD_LAYER = "application/vnd.oci.image.layer.v1.tar+zstd"


def layered(layout, like, *layers, kind=COMPRESSED_LAYER):
    """An image of these layers (lists of tar entry and content), under the labels of another image."""
    config = layout.put(encode(layout.document(like.manifest.config.digest, Config)), CONFIG)
    compress = {COMPRESSED_LAYER: gzip.compress, ZSTANDARD_LAYER: zstandard}[kind]
    stored = tuple(layout.put(compress(tar(entries)), kind) for entries in layers)
    manifest = Manifest(schema_version=2, media_type=MANIFEST, config=config, layers=stored)
    return image.read(layout, layout.put(encode(manifest), MANIFEST).digest)


def tar(entries):
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        for entry, data in entries:
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return memory.getvalue()


def zstandard(data):
    return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout


def entry(name, kind=tarfile.REGTYPE, link=""):
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def served(layout, built):
    return [(entry(name), data) for name, data in unpack.files(layout, built).items()]


SYSTEM = [
    (entry("./usr", tarfile.DIRTYPE), b""),
    (entry("lib", tarfile.SYMTYPE, "usr/lib"), b""),
    (entry("dev/null", tarfile.CHRTYPE), b""),
    (entry("usr/lib/systemd/system/system-systemd\\x2dcryptsetup.slice"), b"[Unit]"),
    (entry("srv", tarfile.DIRTYPE), b""),
]
