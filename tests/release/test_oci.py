import io
import os
import re
import shutil
import subprocess
import sys
import tarfile

import msgspec
import pytest

from contracts import bundle as bundles
from contracts import report as reports
from contracts.errors import InputError
from release import evidence, image, unpack
from release.oci import CONFIG, INDEX, LAYER, MANIFEST, REFERENCE, Config, Layout, Manifest, encode
from tests import bundles as tiny
from tests.release import workshop
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


def blob(layout, digest):
    return layout.path / "blobs" / "sha256" / digest.removeprefix("sha256:")


def test_the_same_bundle_and_code_give_the_same_digest_anywhere_and_any_time(tmp_path, bundle, built):
    code = tmp_path / "elsewhere"
    for name in ("contracts", "serving", "requirements"):
        shutil.copytree(ROOT / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    copy = shutil.copytree(bundle.path, tmp_path / "copy")
    for file in [*code.rglob("*"), *copy.iterdir()]:
        file.chmod(0o777)
        os.utime(file, (1, 1))
    (code / "serving" / "notes.txt").write_text("not code")
    (code / "serving" / "__pycache__").mkdir()
    (code / "serving" / "__pycache__" / "x.pyc").write_bytes(b"not source")
    assert image.build(copy, Layout.create(tmp_path / "other"), code).digest == built.digest


def test_other_code_or_another_bundle_gives_another_digest(tmp_path, bundle, layout, built):
    code = tmp_path / "elsewhere"
    for name in ("contracts", "serving", "requirements"):
        shutil.copytree(ROOT / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (code / "requirements" / "serve.txt").open("a") as file:
        file.write("# another pin\n")
    other = image.build(bundle.path, layout, code)
    third = image.build(tiny.write(tmp_path / "bundles", shift=1.0, version="2").path, layout, ROOT)
    assert len({built.digest, other.digest, third.digest}) == 3


def test_building_again_writes_nothing(bundle, layout, built):
    before = {file: file.stat().st_mtime_ns for file in layout.path.rglob("*") if file.is_file()}
    assert image.build(bundle.path, layout, ROOT).digest == built.digest
    after = {file: file.stat().st_mtime_ns for file in layout.path.rglob("*") if file.is_file()}
    assert {f: t for f, t in after.items() if f.name != ".index.lock"} == {
        f: t for f, t in before.items() if f.name != ".index.lock"
    }


def test_the_layout_is_what_the_specification_says(layout, built):
    """image-layout.md, manifest.md and config.md of OCI 1.1, in what any reader relies on."""
    assert msgspec.json.decode((layout.path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = msgspec.json.decode((layout.path / "index.json").read_bytes())
    assert (index["schemaVersion"], index["mediaType"]) == (2, INDEX)
    (entry,) = index["manifests"]
    assert entry == {
        "mediaType": MANIFEST,
        "digest": built.digest,
        "size": blob(layout, built.digest).stat().st_size,
        "annotations": {REFERENCE: built.pin.tag},
    }
    manifest = msgspec.json.decode(layout.blob(built.digest))
    assert (manifest["schemaVersion"], manifest["mediaType"]) == (2, MANIFEST)
    assert manifest["config"]["mediaType"] == CONFIG
    config = msgspec.json.decode(layout.blob(manifest["config"]["digest"]))
    assert config["rootfs"] == {"type": "layers", "diff_ids": [layer["digest"] for layer in manifest["layers"]]}
    assert config["config"]["User"] == "10001:10001"
    assert config["config"]["Entrypoint"] == ["python", "-m", "serving"]
    assert config["config"]["Labels"] == {
        "org.opencontainers.image.version": "1",
        "org.opencontainers.image.title": "rainy-days",
        "ml.bundle.digest": built.bundle_digest,
    }
    assert "created" not in config
    for layer in built.manifest.layers:
        with tarfile.open(fileobj=io.BytesIO(layout.read(layer))) as tar:
            entries = tar.getmembers()
        assert [entry.name for entry in entries] == sorted(entry.name for entry in entries)
        assert {(entry.uid, entry.gid, entry.mtime, entry.uname, entry.gname) for entry in entries} == {
            (10001, 10001, 0, "", "")
        }


def test_the_tag_names_version_and_bundle(built):
    hexadecimal = built.bundle_digest.removeprefix("sha256:")
    assert str(built.pin) == f"1-{hexadecimal[:12]}@{built.digest}"


def test_a_tag_moves_to_what_was_built_last(layout, built):
    descriptor = layout.index().manifests[0]
    other = layout.put(b'{"schemaVersion":2}', MANIFEST)
    layout.add(msgspec.structs.replace(other, annotations=descriptor.annotations))
    assert [(entry.digest, entry.annotations) for entry in layout.index().manifests] == [
        (built.digest, {}),
        (other.digest, descriptor.annotations),
    ]


def test_reports_are_found_by_the_images_digest(tmp_path, layout, built):
    folder = tmp_path / "reports"
    workshop.evidence(folder, "one", built.bundle_digest)
    (folder / ".hidden.json").write_text("{}")
    (folder / "core").write_bytes(b"dump")
    names = image.attach(built, folder, layout)
    assert names == tuple(
        sorted(f"{stem}.{kind}" for stem in ("gates", "loadtest") for kind in ("html", "json", "md", "xml"))
    )
    (artifact,) = layout.referrers(built.digest, image.REPORTS)
    assert artifact.subject.digest == built.digest
    assert not list(layout.referrers("sha256:" + "0" * 64, image.REPORTS))
    assert evidence.gather(layout, built).passed
    before = (layout.path / "index.json").read_bytes()
    image.attach(built, folder, layout)
    assert (layout.path / "index.json").read_bytes() == before


def test_the_latest_report_counts_whichever_was_attached_last(tmp_path, layout, built):
    def attach(status, created_at):
        folder = tmp_path / created_at / status
        for stem in ("gates", "loadtest"):
            check = reports.Check(gate="quality", name="floor", status=status)
            reports.write(
                reports.Report(title=stem, subject=built.bundle_digest, created_at=created_at, checks=(check,)),
                folder,
                stem,
            )
        image.attach(built, folder, layout)

    attach("pass", "2026-01-02T00:00:00Z")
    attach("fail", "2026-01-03T00:00:00Z")
    attach("pass", "2026-01-01T00:00:00Z")
    assert evidence.gather(layout, built).refusals == ("gates: quality/floor fail", "load test: quality/floor fail")
    attach("pass", "2026-01-04T00:00:00Z")
    assert evidence.gather(layout, built).passed


def test_a_check_that_did_not_run_refuses(tmp_path, layout, built):
    workshop.evidence(tmp_path / "reports", "one", built.bundle_digest)
    check = reports.Check(gate="leakage", name="history", status="not_run")
    report = reports.Report(title="Gates", subject=built.bundle_digest, created_at="2026-02-02", checks=(check,))
    reports.write(report, tmp_path / "reports", "gates")
    image.attach(built, tmp_path / "reports", layout)
    assert evidence.gather(layout, built).refusals == ("gates: leakage/history not run",)


def test_what_is_attached_and_is_no_report_is_one_line(tmp_path, layout, built):
    folder = tmp_path / "reports"
    workshop.evidence(folder, "one", built.bundle_digest)
    (folder / "gates.json").write_text('{"format": 1, "checks": "all good"}')
    image.attach(built, folder, layout)
    with pytest.raises(InputError, match=r"gates\.json: .*run the gate that writes it again"):
        evidence.gather(layout, built)


def test_the_image_command_prints_what_to_promote(tmp_path, bundle):
    where = ("--layout", str(tmp_path / "registry"), "--reports", str(tmp_path / "reports"), "--repository", str(ROOT))
    outcome = release("image", "--bundle", str(bundle.path), *where)
    assert outcome.code == 0
    assert "holds no report yet" in outcome.output
    last = outcome.output.splitlines()[-1]
    assert re.fullmatch(r"1-[0-9a-f]{12}@sha256:[0-9a-f]{64}", last)
    workshop.evidence(tmp_path / "reports" / bundles.short(bundle.digest), "one", bundle.digest)
    again = release("image", "--bundle", str(bundle.path), *where)
    assert "reports attached" in again.output
    assert again.output.splitlines()[-1] == last


def test_an_image_that_was_pulled_serves_the_bundle_byte_for_byte(tmp_path, bundle, layout, built):
    target = tmp_path / "node"
    outcome = release("pull", "--image", str(built.pin), "--layout", str(layout.path), "--to", str(target))
    assert outcome.code == 0, outcome.error
    assert bundles.load(target / "srv" / "bundle", bundle.digest).provenance == bundle.provenance
    for file in (target / "srv" / "serving").rglob("*.py"):
        assert file.read_bytes() == (ROOT / file.relative_to(target / "srv")).read_bytes()
    there = {file: file.stat().st_mtime_ns for file in target.rglob("*")}
    again = release("pull", "--image", str(built.pin), "--layout", str(layout.path), "--to", str(target))
    assert "is there already" in again.output
    assert {file: file.stat().st_mtime_ns for file in target.rglob("*")} == there


def test_a_pulled_image_starts_where_only_the_servers_packages_are(tmp_path, layout, built, environments):
    unpack.pull(layout, built, tmp_path / "node")
    home = tmp_path / "node" / "srv"
    bare = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [environments["serve"], "-m", "serving", "--help"],
        cwd=home,
        env=bare,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--drain-seconds" in done.stdout


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, layout, built):
    target = tmp_path / "node"
    target.mkdir()
    (target / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        unpack.pull(layout, built, target)
    assert [file.name for file in target.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("which", ["manifest", "config", "layer"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "grow", "remove"])
def test_a_blob_whose_bytes_changed_is_refused_and_building_again_heals_it(
    tmp_path, bundle, layout, built, which, damage
):
    digest = {
        "manifest": built.digest,
        "config": built.manifest.config.digest,
        "layer": built.manifest.layers[1].digest,
    }[which]
    place = blob(layout, digest)
    data = place.read_bytes()
    if damage == "remove":
        place.unlink()
    else:
        place.write_bytes(
            {"flip": data[:-1] + bytes([data[-1] ^ 1]), "truncate": data[:-1], "grow": data + b"\0"}[damage]
        )
    outcome = release("pull", "--image", built.digest, "--layout", str(layout.path), "--to", str(tmp_path / "node"))
    assert outcome.code == 2
    assert digest in outcome.error
    assert len(outcome.error.splitlines()) == 1
    assert not (tmp_path / "node").exists()
    image.build(bundle.path, layout, ROOT)
    assert unpack.pull(layout, image.read(layout, built.digest), tmp_path / "node")


def forged(layout, entries, labels=None, like=None):
    """An image with a layer of these tar entries, correct in every digest."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar:
        for entry, data in entries:
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    layer = layout.put(memory.getvalue(), LAYER)
    config = layout.document(like.manifest.config.digest, Config)
    settings = msgspec.structs.replace(config.config, labels={**config.config.labels, **(labels or {})})
    config = layout.put(encode(msgspec.structs.replace(config, config=settings)), CONFIG)
    manifest = Manifest(schema_version=2, media_type=MANIFEST, config=config, layers=(layer,))
    return layout.put(encode(manifest), MANIFEST).digest


def entry(name, kind=tarfile.REGTYPE, link=""):
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize(
    "bad",
    [
        entry("../outside.txt"),
        entry("srv/../../outside.txt"),
        entry("/outside.txt"),
        entry("srv\\..\\outside.txt"),
        entry("srv/link", tarfile.SYMTYPE, "/etc/passwd"),
        entry("srv/hard", tarfile.LNKTYPE, "../../outside.txt"),
        entry("srv/device", tarfile.CHRTYPE),
        entry("srv/pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda e: e.name,
)
def test_a_layer_that_reaches_out_of_its_folder_writes_nothing(tmp_path, layout, built, bad):
    digest = forged(layout, [(entry("srv/good.txt"), b"good"), (bad, b"" if not bad.isreg() else b"bad")], like=built)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"leads out of the image|is no regular file"):
        unpack.pull(layout, image.read(layout, digest), tmp_path / "deep" / "node")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_label_that_names_another_bundle_is_refused_even_by_force(alone, tmp_path):
    layout = Layout.create(tmp_path / "registry")
    honest = image.build(tiny.write(tmp_path / "bundles").path, layout, ROOT)
    other = tiny.write(tmp_path / "bundles", shift=1.0)
    files = [(entry(name), data) for name, data in unpack.files(layout, honest).items()]
    digest = forged(layout, files, {"ml.bundle.digest": other.digest}, honest)
    lying = image.read(layout, digest)
    workshop.evidence(tmp_path / "reports", "one", other.digest)
    image.attach(lying, tmp_path / "reports", layout)
    words = ["promote", "staging", "--image", digest, "--layout", str(layout.path), "--merge"]
    for outcome in (alone.run(*words), alone.run(*words, "--force", "--reason", "now")):
        assert outcome.code == 2
        assert f"digest: is {honest.bundle_digest}, not {other.digest}" in outcome.error
    assert alone.line("staging") == "none"


@pytest.mark.parametrize(
    "labels",
    [
        {"org.opencontainers.image.version": "7\n\nGates: passed"},
        {"org.opencontainers.image.title": "a b"},
        {"ml.bundle.digest": "sha256:abc"},
        {"ml.bundle.digest": ""},
    ],
)
def test_labels_that_could_not_stand_in_a_tag_or_a_trailer_are_refused(layout, built, labels):
    digest = forged(layout, [], labels, built)
    with pytest.raises(InputError, match="label"):
        image.read(layout, digest)


def test_an_index_of_several_platforms_is_not_taken_for_an_image(layout, built):
    digest = layout.put(encode(layout.index()), INDEX).digest
    with pytest.raises(InputError):
        image.read(layout, digest)


def test_writers_at_the_same_time_lose_nothing(tmp_path, layout, built):
    script = (
        "import sys; from pathlib import Path; from release.oci import *\n"
        "layout = Layout.create(Path(sys.argv[1]))\n"
        "for i in range(20): layout.add(layout.put(f'{sys.argv[2]} {i}'.encode(), 'text/plain'))"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, layout.path, str(n)], cwd=ROOT) for n in range(4)]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0, 0]
    listed = [entry.digest for entry in layout.index().manifests]
    assert len(listed) == len(set(listed)) == 81
    assert all(layout.blob(digest) for digest in listed)


def test_a_bundle_that_is_not_whole_makes_no_image(tmp_path, bundle):
    (bundle.path / "model.onnx").write_bytes(b"other")
    (bundle.path / "golden.json").unlink()
    outcome = release("image", "--bundle", str(bundle.path), "--layout", str(tmp_path / "r"), "--repository", str(ROOT))
    assert outcome.code == 2
    assert "golden.json: is missing" in outcome.error
