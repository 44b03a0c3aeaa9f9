"""A template to generate from: what the working tree tracks, committed and tagged in a repository of its own.

So the tests see uncommitted work, git and zip get the same files, and nobody's edits meet a half-done generation.
"""

import shutil
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter

from tests.template.trees import ROOT, TAG, committed, tracked


@pytest.fixture(scope="session", autouse=True)
def nobodys_settings(tmp_path_factory):
    """A person's own cookiecutter defaults may not decide a test."""
    home = tmp_path_factory.mktemp("home")
    (home / "cookiecutter.yml").write_text(f"cookiecutters_dir: {home}/cookiecutters\nreplay_dir: {home}/replay\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COOKIECUTTER_CONFIG", str(home / "cookiecutter.yml"))
        yield


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("template") / "late-arrivals"
    for name in tracked(ROOT):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target, follow_symlinks=False)
    return committed(folder, TAG)


@pytest.fixture
def generate(tmp_path, template):
    def generate(source=template, **answers):
        return Path(cookiecutter(str(source), no_input=True, extra_context=answers, output_dir=str(tmp_path / "out")))

    return generate
