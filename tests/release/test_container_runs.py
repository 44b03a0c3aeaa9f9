"""The container itself, built by the builder that is here and run by runc with nothing allowed to it."""

import os
import shutil
import subprocess

import pytest

from release import container
from release.oci import Layout
from tests import bundles as tiny
from tests.release import hardened
from tests.release.workshop import ROOT

CANARY = "canary.example"  # a host that pip is told of while the container is built


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A container of a tiny bundle, from a real builder: layout, image, unpacked root file system, bundle."""
    base = os.environ.get("BASE", "")
    builder = container.find("auto")
    lacks = [] if builder else ["a builder (docker with its daemon, podman or buildah)"]
    lacks += [] if base else ["a base image that this machine has or can pull (make test-slow BASE=...)"]
    lacks += [hardened.lacking()] if hardened.lacking() else []
    if lacks:
        pytest.skip(f"the container is built and run only where there is: {'; '.join(lacks)}")
    folder = tmp_path_factory.mktemp("container")
    made = tiny.write(folder / "bundles")
    code = folder / "code"  # as it is now, whatever is edited meanwhile
    for name in ("contracts", "serving", "requirements", "release"):
        shutil.copytree(ROOT / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    layout = Layout.create(folder / "registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_TRUSTED_HOST", CANARY)
        built = container.build(builder, made.path, layout, code, container.Recipe(base=base))
    yield layout, built, hardened.unpack(layout, built, folder / "root"), made, code
    subprocess.run([builder, "rmi", f"{built.title}:{built.pin.tag}"], capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_container_serves_with_nothing_allowed_to_it(real):
    layout, built, root, made, _ = real
    with hardened.running(layout, built, root) as running:
        (name, answers), *_ = running.predict(made).items()
        assert answers == pytest.approx(made.golden.outputs[name], rel=made.golden.relative_tolerance)
        assert running.ask("/v2/health/ready", port=8081)[0] == 200
        status = running.status()
        assert {status[key].split()[0] for key in ("Uid", "Gid")} == {"10001"}
        assert {int(status[key], 16) for key in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert status["NoNewPrivs"] == "1"
        write = "open('/srv/x', 'w')"
        assert "Read-only file system" in running.execute("python", "-c", write).stderr
        assert running.execute("sh", "-c", "true").returncode != 0, "there is a shell"
    with hardened.running(layout, built, root, "--workers=2") as running:
        assert running.predict(made)[name] == pytest.approx(made.golden.outputs[name], rel=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_container_holds_python_the_servers_packages_and_nothing_that_builds_or_trains(real):
    root = real[2]
    programs = {
        path.name
        for folder in ("bin", "usr/bin", "usr/local/bin", "sbin", "usr/sbin")
        for path in (root / folder).glob("*")
    }
    assert {name for name in programs if not name.startswith("python")} == set()
    pins = {
        line.partition("==")[0] for line in (ROOT / "requirements/serve.txt").read_text().splitlines() if "==" in line
    }
    packages = {path.name.partition("-")[0].lower() for path in (root / "opt/packages").glob("*.dist-info")}
    assert packages == pins
    forbidden = ("pip", "setuptools", "torch", "pandas", "mlflow", "onnx", "ensurepip")
    assert not [path for path in root.rglob("*") if path.is_dir() and path.name in forbidden]
    assert not [path for path in root.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o6000]
    assert not [
        path
        for path in root.rglob("*")
        if path.is_symlink() and not path.exists() and not path.readlink().is_absolute()
    ]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_container_has_no_trace_of_where_its_packages_came_from_and_comes_out_the_same_again(real, tmp_path):
    layout, built, root, made, code = real
    assert not list(root.rglob("pip.conf"))
    assert CANARY.encode() not in layout.blob(built.manifest.config.digest) + layout.blob(built.digest)
    assert not [path for path in root.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    other = Layout.create(tmp_path / "registry")
    builder = container.find("auto")
    again = container.build(builder, made.path, other, code, container.Recipe(base=os.environ["BASE"]))
    assert again.digest == built.digest
    fourth = tiny.write(tmp_path / "bundles", shift=0.5, version="4")
    following = container.build(builder, fourth.path, other, code, container.Recipe(base=os.environ["BASE"]))
    subprocess.run([builder, "rmi", f"{following.title}:{following.pin.tag}"], capture_output=True, check=False)
    assert following.manifest.layers[:-1] == built.manifest.layers[:-1], "a new bundle is one new layer"
