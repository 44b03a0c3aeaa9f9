"""The container: which builder makes it, what that is given, and what comes back from it."""

import gzip
import json
import tarfile
from pathlib import Path

import pytest

from contracts.errors import InputError
from release import container, image, sbom, unpack
from release.oci import COMPRESSED_LAYER, Layout
from release.rootfs import Root
from tests import bundles as tiny
from tests.release import workshop
from tests.release.layers import SYSTEM, entry, layered, served, tar
from tests.release.workshop import ROOT, release


@pytest.fixture
def bundle(tmp_path):
    return tiny.write(tmp_path / "bundles")


@pytest.fixture
def layout(tmp_path):
    return Layout.create(tmp_path / "registry")


@pytest.fixture
def built(bundle, layout):
    return image.build(bundle.path, layout, ROOT)


@pytest.fixture
def no_pip_settings(tmp_path, monkeypatch):
    for name in [name for names in container.PIP_SETTINGS.values() for name in names] + ["PIP_CONFIG_FILE"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(container, "PIP_CONFIGURATIONS", (str(tmp_path / "own.conf"),))
    return tmp_path / "own.conf"


def words(tmp_path, bundle, *more):
    where = ("--layout", str(tmp_path / "registry"), "--reports", str(tmp_path / "reports"), "--repository", str(ROOT))
    return release("image", "--bundle", str(bundle.path), *where, *more)


# which builder


def test_without_a_builder_one_line_says_so_and_the_image_is_the_one_without_a_base(tmp_path, bundle, built, programs):
    outcome = words(tmp_path, bundle, "--builder", "auto")
    assert outcome.code == 0
    assert outcome.output.splitlines()[0].startswith("no docker daemon, podman or buildah: code and bundle alone")
    assert outcome.output.splitlines()[-1] == str(built.pin)


def test_a_docker_without_its_daemon_is_passed_over(programs):
    programs("docker", "exit 1")
    assert container.find("auto") == ""
    programs("buildah", "exit 0")
    assert container.find("auto") == "buildah"
    programs("podman", "exit 0")
    assert container.find("auto") == "podman"
    programs("docker", "echo 28.2.2")
    assert container.find("auto") == "docker"
    assert container.find("none") == ""


def test_a_docker_whose_daemon_does_not_answer_is_passed_over(programs, monkeypatch):
    monkeypatch.setattr(container, "PATIENCE", 0.2)
    programs("docker", "exec sleep 60")
    assert container.find("auto") == ""


def test_the_one_that_was_asked_for_and_does_not_work_is_refused_in_one_line(tmp_path, bundle, programs):
    programs("docker", "exit 1")
    outcome = words(tmp_path, bundle, "--builder", "docker")
    assert outcome.code == 2
    assert outcome.error == ("image: --builder: docker does not work here; start its daemon, or take auto or none\n")


# what a builder is given


def test_a_builder_gets_the_servers_files_and_the_bundle_and_no_times(tmp_path, bundle):
    context = container._stage(bundle, ROOT, tmp_path / "context")
    there = {path.relative_to(context).as_posix() for path in context.rglob("*") if path.is_file()}
    code = {path.relative_to(ROOT).as_posix() for path in image.code(ROOT)}
    assert there == code | set(container.NEEDED) | {".dockerignore"} | {
        f"bundle/{f.name}" for f in bundle.path.iterdir()
    }
    assert {path.stat().st_mtime for path in context.rglob("*")} == {0}
    assert {oct(path.stat().st_mode & 0o777) for path in context.rglob("*") if path.is_dir()} == {"0o755"}


def test_where_packages_come_from_goes_along_as_a_secret_and_the_certificate_with_it(
    tmp_path, monkeypatch, no_pip_settings
):
    (tmp_path / "own.crt").write_text("certificate")
    no_pip_settings.write_text(f"[global]\nindex-url = https://old.example/simple\ncert = {tmp_path / 'own.crt'}\n")
    address = "https://reader:canary@packages.example/simple"  # pragma: allowlist secret
    monkeypatch.setenv("PIP_INDEX_URL", address)
    secrets = container._secrets(None, tmp_path)
    assert sorted(secrets) == ["ca.crt", "pip.conf"]
    said = secrets["pip.conf"].read_text()
    assert f"index-url = {address}" in said
    assert f"cert = {container.CERTIFICATE}" in said
    assert secrets["ca.crt"].read_text() == "certificate"
    assert {file.stat().st_mode & 0o777 for file in secrets.values()} == {0o600}


def test_a_pip_conf_that_is_named_counts_alone(tmp_path, monkeypatch, no_pip_settings):
    monkeypatch.setenv("PIP_INDEX_URL", "https://other.example/simple")
    named = tmp_path / "named.conf"
    named.write_text("[install]\nindex-url = https://named.example/simple\n")
    said = container._secrets(named, tmp_path)["pip.conf"].read_text()
    assert said == "[global]\nindex-url = https://named.example/simple\n"
    with pytest.raises(InputError, match="cannot be read"):
        container._secrets(tmp_path / "absent.conf", tmp_path)


def test_where_pip_is_told_nothing_there_is_no_secret(tmp_path, no_pip_settings):
    assert container._secrets(None, tmp_path) == {}


# what comes back


def pretend(programs, tmp_path, layout, built, exits=0):
    """A buildah that notes its arguments and pushes an image that is there already."""
    alone = sbom._alone(built, layout, tmp_path / "alone")
    programs(
        "buildah",
        f"""echo "$@" >> {tmp_path}/said
case "$1" in
build) [ {exits} = 0 ] || exit {exits}
  while [ $# -gt 0 ]; do if [ "$1" = --iidfile ]; then echo sha256:feed > "$2"; fi; shift; done ;;
push) to="${{3#oci:}}"; cp -r {alone} "${{to%:image}}" ;;
esac""",
    )


def test_what_a_builder_pushed_is_in_the_layout_with_the_reports_and_can_be_promoted(
    tmp_path, alone, bundle, built, layout, programs, monkeypatch, no_pip_settings
):
    monkeypatch.setenv("PIP_INDEX_URL", "https://reader:canary@packages.example/simple")  # pragma: allowlist secret
    other = Layout.create(tmp_path / "builders")
    there = layered(other, image.build(bundle.path, other, ROOT), SYSTEM, served(layout, built))
    pretend(programs, tmp_path, other, there)
    workshop.evidence(tmp_path / "reports" / bundle.path.name, "one", bundle.digest)
    outcome = words(tmp_path, bundle, "--builder", "auto", "--base", "registry.example/python:3.11", "--grpc")
    assert outcome.code == 0, outcome.error
    assert outcome.output.splitlines()[-1] == str(there.pin)
    assert "reports attached" in outcome.output
    said = (tmp_path / "said").read_text()
    for word in ("--timestamp=0", "BASE=registry.example/python:3.11", "GRPC=1", f"BUNDLE_DIGEST={bundle.digest}"):
        assert word in said
    assert "canary" not in said
    monkeypatch.undo()
    promoted = alone.run("promote", "staging", "--image", str(there.pin), "--layout", str(layout.path), "--merge")
    assert promoted.code == 0, promoted.error
    assert alone.line("staging") == str(there.pin)


def test_a_builder_that_gives_up_is_one_line_with_the_ways_out(
    tmp_path, bundle, built, layout, programs, no_pip_settings
):
    pretend(programs, tmp_path, layout, built, exits=125)
    outcome = words(tmp_path, bundle, "--builder", "buildah")
    assert outcome.code == 2
    assert outcome.error.startswith("image: buildah build: exit code 125, see above; another base: BASE=")
    assert len(outcome.error.splitlines()) == 1


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_what_docker_saves_is_taken(tmp_path, bundle, layout, built, compressed):
    """`docker save`: manifest.json, a configuration, layers as files or links to files."""
    data = tar(SYSTEM), tar(served(layout, built))
    layers = [gzip.compress(layer, mtime=0) if compressed else layer for layer in data]
    config = layout.blob(built.manifest.config.digest)
    listed = [{"Config": "c.json", "RepoTags": None, "Layers": ["a/layer.tar", "b/layer.tar", "again/layer.tar"]}]
    archive = tmp_path / "saved.tar"
    archive.write_bytes(
        tar(
            [
                (entry("c.json"), config),
                (entry("a/layer.tar"), layers[0]),
                (entry("b/layer.tar"), layers[1]),
                (entry("again/layer.tar", tarfile.SYMTYPE, "../a/layer.tar"), b""),
                (entry("manifest.json"), json.dumps(listed).encode()),
            ]
        )
    )
    other = Layout.create(tmp_path / "other")
    taken = image.admit(other, container.take_archive(archive, other))
    assert {layer.media_type for layer in taken.manifest.layers} == {COMPRESSED_LAYER}
    assert unpack.provenance(other, taken) == bundle.provenance
    assert container.take_archive(archive, other).digest == taken.digest
    archive.write_bytes(tar([(entry("manifest.json"), b"[]")]))
    with pytest.raises(InputError, match="is not what `docker save` writes of one image"):
        container.take_archive(archive, other)


def test_a_pushed_layout_whose_bytes_changed_is_refused(tmp_path, layout, built):
    pushed = sbom._alone(built, layout, tmp_path / "pushed")
    place = pushed / "blobs" / "sha256" / built.manifest.layers[0].digest.removeprefix("sha256:")
    place.write_bytes(place.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="its bytes were changed"):
        container.take_layout(pushed, Layout.create(tmp_path / "other"))


# the root file system


def test_a_file_is_taken_with_the_links_on_the_way_to_it_and_without_special_modes(tmp_path):
    source, target = tmp_path / "base", tmp_path / "root"
    (source / "usr" / "lib").mkdir(parents=True)
    (source / "lib").symlink_to("usr/lib")
    (source / "usr" / "lib" / "libx.so.1.2").write_bytes(b"library")
    (source / "usr" / "lib" / "libx.so.1.2").chmod(0o6777)
    (source / "lib" / "libx.so.1").symlink_to(source / "usr" / "lib" / "libx.so.1.2")
    target.mkdir()
    root = Root(target)
    root.take(source / "lib" / "libx.so.1")
    root.take(source / "lib" / "absent.so")
    made = target / source.relative_to("/")
    assert (made / "lib").readlink() == Path("usr/lib")
    assert (made / "usr/lib/libx.so.1").readlink() == source / "usr/lib/libx.so.1.2"
    taken = made / "usr/lib/libx.so.1.2"
    assert (taken.read_bytes(), oct(taken.stat().st_mode & 0o7777)) == (b"library", "0o755")
    assert root.taken == {source / "usr/lib/libx.so.1.2"}
