"""The demo works in a clone of its own and leaves the user's checkout as it was."""

import subprocess
from pathlib import Path

import pytest

from contracts.errors import InputError
from demo.deployer import image_of
from demo.workspace import Workspace, git


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environments: dict[str, Path]) -> Path:
    """A repository on a branch of the user's, with a committed and an uncommitted file."""
    variables = {"train": "VENV", "serve": "VENV_SERVE", "validate": "VENV_VALIDATE", "clients": "VENV_CLIENTS"}
    for name, python in environments.items():
        monkeypatch.setenv(variables[name], str(python.parents[1]))
    root = tmp_path / "mine"
    root.mkdir()
    git(root, "init", "-q", "-b", "topic")
    (root / "a.txt").write_text("committed\n")
    git(root, "add", "a.txt")
    git(root, "commit", "-q", "-m", "one")
    (root / "b.txt").write_text("uncommitted\n")
    return root


def test_the_users_checkout_is_only_read(checkout: Path, tmp_path: Path) -> None:
    before = {path: git(checkout, *path).stdout for path in (("status", "--porcelain"), ("show-ref",))}
    workspace = Workspace.create(checkout, tmp_path / "demo")
    (workspace.root / "a.txt").write_text("changed\n")
    workspace.run("git", "commit", "-qam", "in the clone", module=False)
    assert {path: git(checkout, *path).stdout for path in before} == before
    assert git(workspace.root, "branch", "--show-current").stdout.strip() == "main"
    assert git(workspace.root, "remote").stdout == ""


def test_what_a_command_printed_is_in_the_log_and_its_last_line_in_the_error(checkout: Path, tmp_path: Path) -> None:
    workspace = Workspace.create(checkout, tmp_path / "demo")
    with pytest.raises(InputError, match="exit 3: the reason"):
        workspace.run("bash", "-c", "echo much; echo the reason; exit 3", module=False)
    assert "much\nthe reason" in workspace.log.read_text()


def test_a_folder_without_commits_is_refused(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    with pytest.raises(InputError, match="git init"):
        Workspace.create(tmp_path, tmp_path / "demo")


RENDERED = """
kind: Service
---
spec: {template: {spec: {containers: [{name: model, image: "IMAGE"}]}}}
"""


def test_the_deployer_reads_the_one_image_from_rendered_manifests() -> None:
    image = "registry/model:3-abc@sha256:" + "0" * 64
    assert image_of(RENDERED.replace("IMAGE", image), "staging") == image


def test_an_environment_without_a_digest_is_not_deployed() -> None:
    with pytest.raises(InputError, match="promote one first"):
        image_of(RENDERED.replace("IMAGE", "registry/model:none"), "staging")
