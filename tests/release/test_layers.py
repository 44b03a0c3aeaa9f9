"""Images that builders made are read as our own: what counts below /srv, and what would change it."""

import gzip
import shutil

import msgspec
import pytest

from contracts.errors import InputError
from release import image, unpack
from release.oci import COMPRESSED_LAYER, Layout
from tests import bundles as tiny
from tests.release.layers import SYSTEM, ZSTANDARD_LAYER, entry, layered, served, tar, tarfile
from tests.release.workshop import ROOT


@pytest.fixture
def bundle(tmp_path):
    return tiny.write(tmp_path / "bundles")


@pytest.fixture
def layout(tmp_path):
    return Layout.create(tmp_path / "registry")


@pytest.fixture
def built(bundle, layout):
    return image.build(bundle.path, layout, ROOT)


@pytest.mark.parametrize("kind", [COMPRESSED_LAYER, ZSTANDARD_LAYER])
def test_compressed_layers_on_a_base_are_read(tmp_path, bundle, layout, built, kind):
    if kind == ZSTANDARD_LAYER and shutil.which("zstd") is None:
        pytest.skip("needs the program zstd")
    there = layered(layout, built, SYSTEM, served(layout, built), kind=kind)
    assert unpack.provenance(layout, there) == bundle.provenance
    assert unpack.files(layout, there) == unpack.files(layout, built)
    assert unpack.pull(layout, there, tmp_path / "node")
    assert [path.name for path in (tmp_path / "node").iterdir()] == ["srv"]


def test_a_zstd_layer_where_nothing_reads_zstd_is_one_line(layout, built, programs):
    layer = layout.put(unpack.ZSTANDARD + b"rest", ZSTANDARD_LAYER)
    there = msgspec.structs.replace(built, manifest=msgspec.structs.replace(built.manifest, layers=(layer,)))
    with pytest.raises(InputError, match="is zstd; install zstd, or have the builder write gzip"):
        unpack.files(layout, there)


def test_a_compressed_layer_that_is_cut_short_is_refused(layout, built):
    whole = gzip.compress(tar(served(layout, built)))
    layer = layout.put(whole[: len(whole) // 2], COMPRESSED_LAYER)
    there = msgspec.structs.replace(built, manifest=msgspec.structs.replace(built.manifest, layers=(layer,)))
    with pytest.raises(InputError, match="is not a tar"):
        unpack.files(layout, there)


@pytest.mark.parametrize(
    "removed", ["srv/bundle/.wh.model.onnx", "srv/.wh.bundle", "srv/bundle/.wh..wh..opq", ".wh.srv"]
)
def test_what_a_later_layer_removed_is_gone(layout, built, removed):
    there = layered(layout, built, served(layout, built), [(entry(removed), b"")])
    assert "srv/bundle/model.onnx" not in unpack.files(layout, there)
    with pytest.raises(InputError):
        unpack.provenance(layout, there)


@pytest.mark.parametrize("first", [True, False])
def test_a_layer_may_replace_a_folder_whether_it_says_so_first_or_last(layout, built, first):
    files, removed = served(layout, built), [(entry("srv/bundle/.wh..wh..opq"), b"")]
    old = [(entry("srv/bundle/model.onnx"), b"old"), (entry("srv/bundle/gone"), b"old")]
    there = layered(layout, built, old, [*removed, *files] if first else [*files, *removed])
    assert unpack.files(layout, there) == unpack.files(layout, built)


@pytest.mark.parametrize("name", ["srv", "srv/bundle"])
def test_a_link_in_the_place_of_the_bundle_is_refused(layout, built, name):
    there = layered(layout, built, served(layout, built), [(entry(name, tarfile.SYMTYPE, "/etc"), b"")])
    with pytest.raises(InputError, match="is no regular file"):
        unpack.provenance(layout, there)
