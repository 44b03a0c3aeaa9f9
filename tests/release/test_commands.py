import subprocess
import sys

import pytest

from release import arguments, kustomize
from tests.release.workshop import ROOT, release

COMMANDS = sorted(arguments.COMMANDS)


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_every_command_has_help(words):
    outcome = release(*words)
    assert outcome.code == 0
    assert "usage: python -m release" in outcome.output


def test_an_error_has_no_trace_and_exit_code_2():
    done = subprocess.run(
        [sys.executable, "-m", "release", "show", "nowhere", "--local"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A PATH of its own, into which programs can be put."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("TOOLS", str(tmp_path / "tools"))
    kustomize.find.cache_clear()

    def put(name, says, place=folder):
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (place / name).chmod(0o755)

    yield put
    kustomize.find.cache_clear()


def test_without_kustomize_and_go_one_line_says_how_to_get_it(path, capsys):
    assert kustomize.main() == 2
    error = capsys.readouterr().err
    assert "install kustomize or kubectl 1.27 or later" in error
    assert len(error.splitlines()) == 1


def test_an_old_one_is_passed_over_and_named(path, tmp_path, capsys):
    path("kubectl", '{"clientVersion": {}, "kustomizeVersion": "v4.5.7"}')
    assert kustomize.main() == 2
    assert "kubectl has 4.5.7" in capsys.readouterr().err
    path("kustomize", "v5.8.1", tmp_path / "tools" / "bin")
    assert kustomize.main() == 0
    assert kustomize.find().command == (str(tmp_path / "tools" / "bin" / "kustomize"), "build")


def test_an_installed_one_comes_before_kubectls(path):
    path("kubectl", '{"kustomizeVersion": "v5.5.0"}')
    assert kustomize.find().command == ("kubectl", "kustomize")
    kustomize.find.cache_clear()
    path("kustomize", "{Version:kustomize/v5.0.4 GitCommit:x}")
    assert (kustomize.find().command, kustomize.find().version) == (("kustomize", "build"), "5.0.4")


def test_what_go_could_not_build_is_one_line(path, tmp_path, capsys):
    path("go", "no network")
    (tmp_path / "bin" / "go").write_text("#!/bin/sh\necho downloading >&2\necho no network >&2\nexit 1\n")
    assert kustomize.main() == 2
    assert "no network; or see" in capsys.readouterr().err
