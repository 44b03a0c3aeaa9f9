"""The bundle: written whole or not at all, read only when it is what it says, known by a digest that anybody can compute."""

import itertools
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import handmade
from contracts import bundle
from contracts.bundle import BundleError
from contracts.errors import InputError

MODEL = b"stands for a graph: contracts never open it"
MANIFEST = bundle.Manifest(
    name="rainy-days",
    task="binary",
    target="rain",
    inputs=(
        bundle.Input(name="station", dtype="string"),
        bundle.Input(name="temperature", dtype="float32", nullable=True),
    ),
    outputs=(bundle.Output(name="probability"),),
)
GOLDEN = bundle.Golden(
    inputs={"station": ["north", "south"], "temperature": [1.5, None]},
    outputs={"probability": [0.25, 0.75]},
    absolute_tolerance=1e-5,
    relative_tolerance=1e-4,
)
PROFILE = bundle.ReferenceProfile(
    rows=2,
    inputs={"station": bundle.CategoricalProfile(counts={"north": 1}, other=1, missing=0)},
    predictions={"probability": bundle.NumericProfile(edges=[0.5], counts=[1, 1], missing=0)},
)
PROVENANCE = handmade.provenance(version="")


def contents(**changes):
    documents = {"model": MODEL, "manifest": MANIFEST, "golden": GOLDEN, "profile": PROFILE, "provenance": PROVENANCE}
    return bundle.Contents(**{**documents, "model_card": "# Rainy days\n", **changes})


@pytest.fixture
def written(tmp_path):
    return bundle.write(tmp_path / "store", contents())


def test_what_is_written_is_what_is_read(written):
    read = bundle.load(written.path, written.digest)
    assert read == written
    assert (read.model, read.manifest, read.golden, read.profile) == (MODEL, MANIFEST, GOLDEN, PROFILE)
    assert read.path.name == read.short_digest == read.digest.removeprefix("sha256:")[:16]
    assert (read.path / "MODEL_CARD.md").read_text() == "# Rainy days\n"


def test_the_digest_is_what_sha256sum_says(written):
    recipe = "sha256sum bundle.json golden.json model.onnx reference_profile.json | sha256sum"
    said = subprocess.run(["bash", "-c", recipe], cwd=written.path, check=True, capture_output=True, text=True).stdout
    assert written.digest == "sha256:" + said.split()[0] == bundle.digest(written.path)


def test_the_digest_does_not_know_where_the_bundle_lies(written, tmp_path):
    elsewhere = shutil.copytree(written.path, tmp_path / "another" / "name")
    os.utime(elsewhere / "model.onnx", (0, 0))
    assert bundle.digest(elsewhere) == written.digest


@given(sums=st.fixed_dictionaries({name: st.binary(max_size=8).map(bytes.hex) for name in bundle.DIGESTED}))
def test_the_digest_does_not_depend_on_the_order_of_files(sums):
    digests = {bundle._digest(dict(order)) for order in itertools.permutations(sums.items())}
    assert len(digests) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"model": MODEL + b"."},
        {"manifest": msgspec.structs.replace(MANIFEST, decision_threshold=0.5)},
        {"golden": msgspec.structs.replace(GOLDEN, absolute_tolerance=1e-6)},
        {"profile": msgspec.structs.replace(PROFILE, rows=3)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_whatever_decides_the_answers_changes_the_digest(written, tmp_path, changes):
    assert bundle.write(tmp_path / "store", contents(**changes)).digest != written.digest


def test_where_a_bundle_comes_from_does_not_change_the_digest(written, tmp_path):
    elsewhere = msgspec.structs.replace(PROVENANCE, git_sha="f" * 40, seed=2, created_at="2030-01-01T00:00:00Z")
    assert bundle.write(tmp_path / "other", contents(provenance=elsewhere, model_card="#")).digest == written.digest


def test_writing_it_again_changes_nothing(written):
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in written.path.iterdir()}
    again = bundle.write(written.path.parent, contents(provenance=msgspec.structs.replace(PROVENANCE, seed=2)))
    assert again == written
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in written.path.iterdir()} == before
    assert [path.name for path in written.path.parent.iterdir()] == [written.short_digest]


def test_others_may_read_it(written):
    for path in (written.path, *written.path.iterdir()):
        assert path.stat().st_mode & stat.S_IROTH


def test_a_version_is_noted_outside_of_the_digest(written):
    bundle.record_version(written.path, "7", "run-1")
    bundle.record_version(written.path, "7", "run-1")
    read = bundle.load(written.path, written.digest)
    assert (read.provenance.version, read.provenance.mlflow_run_id) == ("7", "run-1")
    assert sorted(path.name for path in written.path.parent.iterdir()) == [written.short_digest]


def test_a_store_lists_its_bundles_and_passes_over_what_a_killed_writer_left(written):
    other = bundle.write(written.path.parent, contents(model=b"another"))
    shutil.copytree(written.path, written.path.parent / f".{written.path.name}.left")
    assert {each.digest for each in bundle.bundles(written.path.parent)} == {written.digest, other.digest}


def damage_missing(path):
    (path / "golden.json").unlink()
    return "golden.json: is missing"


def damage_pickle(path):
    (path / "model.pkl").write_bytes(b"\x80\x04.")
    return "model.pkl: does not belong in a bundle"


def damage_symlink(path):
    target = shutil.move(path / "model.onnx", path.parent / "elsewhere.onnx")
    (path / "model.onnx").symlink_to(target)
    return "model.onnx: is not a regular file"


def damage_folder(path):
    (path / "MODEL_CARD.md").unlink()
    (path / "MODEL_CARD.md").mkdir()
    return "MODEL_CARD.md: is not a regular file"


def damage_one_bit(path):
    data = bytearray((path / "model.onnx").read_bytes())
    data[0] ^= 1
    (path / "model.onnx").write_bytes(data)
    return "digest: is sha256:"


def damage_cut(path):
    (path / "provenance.json").write_bytes((path / "provenance.json").read_bytes()[:40])
    return "provenance.json: Input data was truncated"


def damage_format(path):
    return _edit(path / "provenance.json", "format", 2, "provenance.json: format: is 2, this version reads 1")


def damage_unknown_key(path):
    return _edit(path / "provenance.json", "pickle", "x", "unknown field `pickle`")


def damage_type(path):
    return _edit(path / "provenance.json", "seed", "one", "Expected `int`, got `str` - at `$.seed`")


def damage_not_text(path):
    (path / "provenance.json").write_bytes(b"\xff\xfe{}")
    return "provenance.json: "


def _edit(file: Path, key: str, value: object, expected: str) -> str:
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, key: value}))
    return expected


@pytest.mark.parametrize("damage", [value for name, value in sorted(globals().items()) if name.startswith("damage_")])
def test_what_is_not_as_it_says_is_refused_in_one_line(written, damage):
    expected = damage(written.path)
    with pytest.raises(BundleError) as refused:
        bundle.load(written.path, written.digest)
    line = str(refused.value)
    assert expected in line
    assert str(written.path) in line
    assert "\n" not in line


@given(at=st.integers(0, 10_000), flip=st.integers(1, 255), name=st.sampled_from(bundle.DIGESTED))
def test_no_changed_byte_goes_unseen(tmp_path_factory, at, flip, name):
    written = bundle.write(tmp_path_factory.getbasetemp() / "store", contents())
    copy = shutil.copytree(written.path, tmp_path_factory.mktemp("flipped") / "bundle")
    data = bytearray((copy / name).read_bytes())
    data[at % len(data)] ^= flip
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError):
        bundle.load(copy, written.digest)


def test_a_folder_that_is_not_there_says_how_to_get_one(tmp_path):
    with pytest.raises(BundleError, match=r"no such bundle; train one with `make train`"):
        bundle.load(tmp_path / "nothing")


def test_a_file_that_is_too_large_is_not_even_read(written, monkeypatch):
    monkeypatch.setattr(bundle, "MAXIMUM_BYTES", 10)
    with pytest.raises(BundleError, match="is larger than 10 bytes"):
        bundle.load(written.path)


def test_golden_rows_of_another_model_are_refused(tmp_path):
    golden = msgspec.structs.replace(GOLDEN, inputs={"station": ["north", "south"], "pressure": [1.0, 2.0]})
    with pytest.raises(BundleError, match=r"pressure: is not in both bundle\.json and golden\.json"):
        bundle.write(tmp_path, contents(golden=golden))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: bundle.NumericProfile(edges=[1.0], counts=[1], missing=0), "one bin more"),
        (lambda: bundle.NumericProfile(edges=[2.0, 1.0], counts=[1, 1, 1], missing=0), "edges must ascend"),
        (lambda: msgspec.structs.replace(GOLDEN, outputs={"probability": [0.5]}), "same number of rows"),
        (lambda: msgspec.structs.replace(MANIFEST, outputs=(bundle.Output(name="station"),)), "same name"),
    ],
)
def test_a_document_that_contradicts_itself_cannot_be_made(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()


def test_a_damaged_bundle_is_not_written_over_in_silence(written):
    damage_one_bit(written.path)
    with pytest.raises(BundleError, match="remove the folder first"):
        bundle.write(written.path.parent, contents())


def test_a_store_that_cannot_be_a_folder_is_refused(tmp_path):
    (tmp_path / "store").write_text("a file")
    with pytest.raises(InputError, match="cannot be written"):
        bundle.write(tmp_path / "store", contents())
