"""`make setup`: what is made from the pins, when, and whose environments are left alone."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from requirements import environments as setup


def run(root, *arguments, **variables):
    command = [sys.executable, root / "requirements" / "environments.py", *arguments]
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)


def asked_for(root, name):
    """What an .in file names, without what it includes."""
    lines = (line.split("#")[0].strip() for line in (root / "requirements" / f"{name}.in").read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def pins(root, name):
    lines = (root / "requirements" / f"{name}.txt").read_text().splitlines()
    return {(pin := Requirement(line)).name.lower(): pin for line in lines if line and not line.startswith("#")}


@pytest.mark.parametrize("name", ["core", "train", "serve", "validate", "dev"])
def test_the_pins_hold_what_is_asked_for(root, name):
    pinned = pins(root, name)
    for wanted in asked_for(root, name):
        (version,) = pinned[wanted.name.lower()].specifier
        assert version.operator == "=="
        assert wanted.specifier.contains(version.version), wanted
    assert all(str(pin.specifier).startswith("==") for pin in pinned.values())


def test_what_torch_brings_is_left_to_the_machine(root):
    assert "torch" in pins(root, "train")
    assert [name for name in pins(root, "train") if setup.BROUGHT_BY_TORCH.match(name)] == []


def test_the_environments_that_share_a_library_share_its_version(root):
    # The bundle is made in one and served in another.
    train, serve, dev = pins(root, "train"), pins(root, "serve"), pins(root, "dev")
    for other in (serve, dev):
        for name in other.keys() & train.keys():
            assert other[name].specifier == train[name].specifier, name


def test_no_address_is_written_into_a_pin(root):
    for path in (root / "requirements").glob("*.[it]*"):
        assert not re.search(r"https?:|--(extra-)?index|--find-links", path.read_text()), path


def test_an_environment_of_somebody_else_is_left_alone(root, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / ".slipway.json").write_text('{"pins": "of another repository", "torch": ""}')
    before = sorted(tmp_path.rglob("*"))
    done = run(root, "serve", VENV_SERVE=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "made from other pins, and left alone" in done.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unknown_environment_is_one_line(root):
    done = run(root, "moon")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "requirements: moon: no such environment; known: train, serve, validate, clients\n"


def test_a_python_that_nobody_has_is_one_line(tmp_path):
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\nexit 1\n")
    uv.chmod(0o755)
    with pytest.raises(setup.Stop) as stopped:
        setup.find_python("validate", ("3.99", "3.98"), str(uv))
    assert str(stopped.value) == "validate: needs Python 3.98 or 3.99, and none is here; install one and put it on PATH"


@pytest.mark.slow
def test_an_environment_follows_its_pins_and_is_made_once(root, tmp_path):
    clone = tmp_path / "clone"
    shutil.copytree(root / "requirements", clone / "requirements")
    installed = clone / ".venv-serve" / "bin" / "python"

    def synced(*names):
        (clone / "requirements" / "serve.txt").write_text("".join(f"{pins(root, 'serve')[name]}\n" for name in names))
        done = run(clone, "serve", VENV_SERVE=".venv-serve", PATH=f"{root / '.uv' / 'bin'}:{os.environ['PATH']}")
        assert done.returncode == 0, done.stderr
        list_them = "from importlib.metadata import distributions as d; print(*sorted(x.name.lower() for x in d()))"
        found = subprocess.run([installed, "-c", list_them], check=True, capture_output=True, text=True).stdout.split()
        assert found == sorted(names)
        return done.stdout

    assert "installing serve.txt" in synced("msgspec")
    assert synced("msgspec") == ""
    assert "installing serve.txt" in synced("msgspec", "pyyaml")
    assert "installing serve.txt" in synced("pyyaml")
