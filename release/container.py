"""The container: serving/Dockerfile with a bundle in it, built by docker, podman or buildah, put into an OCI layout.

The builder gets a folder with exactly the server's files and the bundle, all times 0, and is told to write no time of
its own. What pip is told of package indexes on this machine goes along as a secret, which stays in no layer.
"""

import configparser
import gzip
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from contracts import bundle as bundles
from contracts.errors import InputError
from release import image
from release.image import BUNDLE_LABEL, TITLE_LABEL, VERSION_LABEL, Image
from release.oci import COMPRESSED_LAYER, CONFIG, MANIFEST, Descriptor, Layout, Manifest, encode

DOCKERFILE = "serving/Dockerfile"
NEEDED = (DOCKERFILE, "release/rootfs.py", "requirements/serve.txt", "requirements/serve-grpc.txt")
ANY, NONE = "auto", "none"
# How each says that it can build; docker only when its daemon runs.
ASK = {
    "docker": ("docker", "version", "--format", "{{.Server.Version}}"),
    "podman": ("podman", "version", "--format", "{{.Version}}"),
    "buildah": ("buildah", "version"),
}
GZIP, ZSTANDARD = bytes.fromhex("1f8b"), bytes.fromhex("28b52ffd")
ZSTANDARD_LAYER = f"{COMPRESSED_LAYER.removesuffix('gzip')}zstd"
PIP_CONFIGURATIONS = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")
PIP_SETTINGS = {
    "index-url": ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
    "extra-index-url": ("PIP_EXTRA_INDEX_URL",),
    "trusted-host": ("PIP_TRUSTED_HOST",),
    "timeout": ("PIP_DEFAULT_TIMEOUT", "PIP_TIMEOUT"),
    "cert": ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"),
}
STANDARD_ERROR = 2
PATIENCE = 60.0  # seconds for a builder to say that it works
CERTIFICATE = "/run/secrets/ca.crt"  # where the Dockerfile mounts it


class Recipe(Struct, frozen=True, kw_only=True):
    """What may differ between two containers of one bundle. An empty `base` is the Dockerfile's own."""

    base: str = ""
    grpc: bool = False
    pip_conf: Path | None = None


class _Saved(Struct, frozen=True, rename="pascal"):
    """An image in the archive that `docker save` writes: the files of its configuration and layers."""

    config: str
    layers: tuple[str, ...]


def find(wanted: str) -> str:
    """The builder to use: `wanted`, or with `auto` the first that works; empty where there is none.

    Raises InputError when the one that is wanted does not work.
    """
    if wanted in ASK and not _works(wanted):
        way_out = "start its daemon" if wanted == "docker" else "install it"
        raise InputError(f"--builder: {wanted} does not work here; {way_out}, or take {ANY} or {NONE}")
    return wanted if wanted in ASK else next((name for name in ASK if wanted == ANY and _works(name)), "")


def build(builder: str, bundle: Path, layout: Layout, root: Path, recipe: Recipe) -> Image:
    """Build the container of the bundle and the code under `root`, and put it into the layout.

    The builder's own store keeps it, too, as `name:version-<12 hex>`. What the builder says goes to standard error.
    Raises InputError when the bundle is not whole, files are missing, or the builder gives up.
    """
    verified = bundles.load(bundle)
    with tempfile.TemporaryDirectory(prefix="container-") as name:
        folder = Path(name)
        context = _stage(verified, Path(root), folder / "context")
        labels = image.labels(verified)
        arguments = {
            "BUNDLE": "bundle",
            "BUNDLE_DIGEST": labels[BUNDLE_LABEL],
            "TITLE": labels[TITLE_LABEL],
            "VERSION": labels[VERSION_LABEL],
            **({"BASE": recipe.base} if recipe.base else {}),
            **({"GRPC": "1"} if recipe.grpc else {}),
        }
        tag = f"{labels[TITLE_LABEL].lower()}:{labels[VERSION_LABEL]}-{bundles.short(verified.digest)[:12]}"
        command = [builder, "build", "--file", str(context / DOCKERFILE), "--tag", tag]
        command += ["--iidfile", str(folder / "id"), *_without_times(builder)]
        command += [f"--build-arg={key}={value}" for key, value in arguments.items()]
        command += [f"--secret=id={key},src={file}" for key, file in _secrets(recipe.pip_conf, folder).items()]
        _run([*command, str(context)])
        identifier = (folder / "id").read_text(encoding="utf-8").strip()
        built = image.admit(layout, _fetch(builder, identifier, layout, folder))
    if built.bundle_digest != verified.digest:
        raise InputError(f"{builder}: the image says that it holds {built.bundle_digest}, not {verified.digest}")
    return built


def take_archive(archive: Path, layout: Layout) -> Descriptor:
    """Put the image of a `docker save` archive into the layout, its layers as gzip; gives its manifest.

    Raises InputError when the archive is not one, or holds several images.
    """
    try:
        with tarfile.open(archive) as tar:

            def read(name: str) -> bytes:
                content = tar.extractfile(name)  # follows the links by which older archives share layers
                if content is None:
                    raise KeyError(name)
                return content.read()

            (saved,) = msgspec.json.decode(read("manifest.json"), type=tuple[_Saved, ...])
            config = layout.put(read(saved.config), CONFIG)
            layers = tuple(_layer(read(layer), layout) for layer in saved.layers)
    except (tarfile.TarError, OSError, KeyError, ValueError, msgspec.MsgspecError) as error:
        raise InputError(f"{archive}: is not what `docker save` writes of one image ({error})") from error
    manifest = Manifest(schema_version=2, media_type=MANIFEST, config=config, layers=layers)
    return layout.put(encode(manifest), MANIFEST)


def take_layout(folder: Path, layout: Layout) -> Descriptor:
    """Put the one image of another layout folder into this one, every blob verified; gives its manifest."""
    source = Layout.open(folder)
    listed = source.index().manifests
    if len(listed) != 1:
        raise InputError(f"{folder}: lists {len(listed)} images, not one")
    manifest = source.manifest(listed[0].digest)
    for part in (manifest.config, *manifest.layers):
        layout.put(source.read(part), part.media_type)
    return layout.put(source.blob(listed[0].digest), MANIFEST)


def _works(builder: str) -> bool:
    if shutil.which(builder) is None:
        return False
    try:
        return subprocess.run(ASK[builder], capture_output=True, check=False, timeout=PATIENCE).returncode == 0
    except subprocess.TimeoutExpired:  # a daemon that is there and does not answer
        return False


def _stage(bundle: bundles.Bundle, root: Path, context: Path) -> Path:
    """The folder that the builder sees: the server's files, the bundle, nothing else, every time and mode the same."""
    missing = [name for name in NEEDED if not (root / name).is_file()]
    if missing:
        raise InputError(f"{root}: {missing[0]}: is missing; give --repository the folder that holds serving/")
    contents = {file.relative_to(root).as_posix(): file for file in (*image.code(root), *(root / n for n in NEEDED))}
    contents |= {f"bundle/{file.name}": file for file in bundle.path.iterdir()}
    for name, file in sorted(contents.items()):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, context / name)
        (context / name).chmod(0o644)
    (context / ".dockerignore").write_text(f"{DOCKERFILE}\n", encoding="utf-8")
    for path in sorted(context.rglob("*"), reverse=True):  # a folder after what is in it
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (0, 0))
    return context


def _without_times(builder: str) -> list[str]:
    """BuildKit takes SOURCE_DATE_EPOCH for the configuration; what the others are told goes into the layers, too."""
    return ["--build-arg=SOURCE_DATE_EPOCH=0"] if builder == "docker" else ["--layers", "--timestamp=0"]


def _secrets(pip_conf: Path | None, folder: Path) -> dict[str, Path]:
    """Where packages come from on this machine, as pip reads it: its configuration files, its variables over them."""
    places = (pip_conf,) if pip_conf else (*PIP_CONFIGURATIONS, os.environ.get("PIP_CONFIG_FILE"))
    parser = configparser.RawConfigParser()
    try:
        read = parser.read([Path(place).expanduser() for place in places if place], encoding="utf-8")
    except configparser.Error as error:
        raise InputError(f"{pip_conf or 'pip.conf'}: {' '.join(str(error).split())}") from error
    if pip_conf and not read:
        raise InputError(f"{pip_conf}: cannot be read; give --pip-conf a file as pip reads it")
    found = {k: v for section in ("global", "install") if parser.has_section(section) for k, v in parser.items(section)}
    settings = {key: found[key] for key in PIP_SETTINGS if key in found}
    for key, variables in PIP_SETTINGS.items():
        if not pip_conf and (said := next(filter(None, map(os.environ.get, variables)), None)):
            settings[key] = said
    secrets = {}
    if settings.get("cert"):
        try:
            _secret(folder / "ca.crt", Path(settings["cert"]).expanduser().read_bytes())
        except OSError as error:
            raise InputError(f"{settings['cert']}: {error.strerror}; pip is told to trust what it holds") from error
        settings["cert"], secrets["ca.crt"] = CERTIFICATE, folder / "ca.crt"
    if settings:
        lines = (f"{key} = {' '.join(value.split())}\n" for key, value in settings.items())
        _secret(folder / "pip.conf", ("[global]\n" + "".join(lines)).encode())
        secrets["pip.conf"] = folder / "pip.conf"
    return secrets


def _secret(place: Path, content: bytes) -> None:
    place.touch(mode=0o600, exist_ok=False)
    place.write_bytes(content)


def _fetch(builder: str, identifier: str, layout: Layout, folder: Path) -> Descriptor:
    if builder == "docker":
        _run(["docker", "save", "--output", str(folder / "saved.tar"), identifier])
        return take_archive(folder / "saved.tar", layout)
    _run([builder, "push", identifier, f"oci:{folder / 'pushed'}:image"])
    return take_layout(folder / "pushed", layout)


def _layer(data: bytes, layout: Layout) -> Descriptor:
    """Newer dockers save layers as they were pulled, older ones plain."""
    if data.startswith(ZSTANDARD):
        return layout.put(data, ZSTANDARD_LAYER)
    return layout.put(data if data.startswith(GZIP) else gzip.compress(data, 6, mtime=0), COMPRESSED_LAYER)


def _run(command: list[str]) -> None:
    environment = {**os.environ, "DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    done = subprocess.run(command, stdout=STANDARD_ERROR, env=environment, check=False)
    if done.returncode:
        raise InputError(
            f"{command[0]} {command[1]}: exit code {done.returncode}, see above; another base: BASE=..., "
            f"no builder: BUILDER={NONE} (docs/image.md)"
        )
