"""A folder, a git address with a tag, a zip; cookiecutter, cruft and Kedro: the same repository through every door."""

import json
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.template.trees import OTHER, TAG, committed, files, git, live

SECRET = "hunter2-of-somebody"  # pragma: allowlist secret
NOT_TRACKED = (
    "conf/local/credentials.yml",
    ".env",
    "data/scores/scores.parquet",
    ".venv/bin/python",
    "pipelines/__pycache__/ingestion.cpython-311.pyc",
    "pipelines/attempt.py",
    "notes.md",
)
RELEASE = "gitops/envs/staging/release/kustomization.yaml"


@pytest.fixture
def by_folder(generate):
    return files(generate(**OTHER))


def run(folder, *command):
    done = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def clone(template, folder):
    git(folder, "clone", "-q", str(template), "clone")
    return folder / "clone"


def created_by_cruft(folder, template):
    answers = json.dumps(dict(OTHER))
    address = f"file://{template}"
    run(folder, "cruft", "create", address, "--checkout", TAG, "--no-input", "--extra-context", answers)
    return folder / OTHER["repo_slug"]


def test_cruft_creates_the_same_from_a_tag(tmp_path, template, by_folder):
    later = clone(template, tmp_path)
    (later / "pipelines" / "later.py").write_text("after the tag\n")
    committed(later)
    created = created_by_cruft(tmp_path, later)
    assert files(created) == by_folder
    assert json.loads((created / ".cruft.json").read_text())["checkout"] == TAG
    run(created, "cruft", "diff", "--exit-code")


def test_cookiecutter_takes_a_git_address_and_a_tag(tmp_path, template, by_folder):
    answers = [f"{key}={value}" for key, value in OTHER.items()]
    address = f"git+file://{template}"
    run(tmp_path, "cookiecutter", address, "--checkout", TAG, "--no-input", "-o", "from-git", *answers)
    assert files(tmp_path / "from-git" / OTHER["repo_slug"]) == by_folder


def test_a_zip_gives_the_same(tmp_path, template, generate):
    git(template, "archive", "--format=zip", "--prefix=late-arrivals-main/", "-o", str(tmp_path / "main.zip"), "HEAD")
    from_folder = files(generate(**OTHER))
    shutil.rmtree(tmp_path / "out")
    assert files(generate(tmp_path / "main.zip", **OTHER)) == from_folder


def test_kedro_new_takes_it_as_a_starter(tmp_path, template, by_folder):
    of_kedro = {"project_name": OTHER["model_name"], "repo_name": OTHER["repo_slug"], "python_package": "pipelines"}
    config = {**OTHER, **of_kedro, "output_dir": str(tmp_path / "from-kedro")}
    (tmp_path / "from-kedro").mkdir()
    (tmp_path / "answers.yml").write_text(yaml.safe_dump(config))
    run(tmp_path, "kedro", "new", "--starter", str(template), "--config", "answers.yml")
    assert files(tmp_path / "from-kedro" / OTHER["repo_slug"]) == by_folder


def test_nothing_but_tracked_files_leaves_a_working_tree(tmp_path, template, generate):
    dirty = clone(template, tmp_path)
    for name in NOT_TRACKED:
        (dirty / name).parent.mkdir(parents=True, exist_ok=True)
        (dirty / name).write_text(SECRET)
    (dirty / "Makefile").write_text((dirty / "Makefile").read_text() + "# an edit that is not committed yet\n")
    gone = next(path for path in live(template) if path.startswith("docs/"))
    (dirty / gone).unlink()
    generated = files(generate(dirty, **OTHER))
    assert [path for path, content in generated.items() if SECRET.encode() in content or path in NOT_TRACKED] == []
    assert generated["Makefile"].endswith(b"# an edit that is not committed yet\n")
    assert gone not in generated


def test_no_junk_leaves_a_folder_without_git(tmp_path, template, generate):
    plain = clone(template, tmp_path)
    shutil.rmtree(plain / ".git")
    for name in set(NOT_TRACKED) - {"pipelines/attempt.py"}:
        (plain / name).parent.mkdir(parents=True, exist_ok=True)
        (plain / name).write_text(SECRET)
    found = files(generate(plain, **OTHER))
    assert [path for path, content in found.items() if SECRET.encode() in content] == []
    assert "conf/local/.gitkeep" in found


def test_binary_files_and_foreign_line_ends_come_through(tmp_path, template, generate):
    odd = clone(template, tmp_path)
    odd_files = {
        "picture.png": b"\x89PNG\r\n\xfflate-arrivals",
        "weights.bin": b"late-arrivals\0slipway-ml",
        "windows.txt": b"late-arrivals\r\nLate Arrivals\r\n",
    }
    for name, content in odd_files.items():
        (odd / "docs" / name).write_bytes(content)
    (odd / ".gitattributes").write_text("* -text\n")
    committed(odd)
    docs = generate(odd, **OTHER) / "docs"
    assert (docs / "picture.png").read_bytes() == odd_files["picture.png"]
    assert (docs / "weights.bin").read_bytes() == odd_files["weights.bin"]
    assert (docs / "windows.txt").read_bytes() == b"churn-risk\r\nChurn Risk\r\n"


def test_an_update_brings_what_is_new_but_never_changes_what_runs(tmp_path, template):
    upstream = clone(template, tmp_path)
    project = committed(created_by_cruft(tmp_path, upstream))
    deployed = (project / RELEASE).read_text() + "# promoted here\n"
    (project / RELEASE).write_text(deployed)
    (project / "Makefile").write_text((project / "Makefile").read_text() + "# ours\n")
    git(project, "commit", "-qam", "A promotion and an edit of our own")

    (upstream / RELEASE).write_text((upstream / RELEASE).read_text() + "# promoted in the template\n")
    (upstream / "docs" / "news.md").write_text("# News for Late Arrivals\n")
    (upstream / "LICENSE").write_text("A new licence for late-arrivals.\n")
    git(upstream, "add", "-A")
    git(upstream, "commit", "-qm", "Version 2")
    git(upstream, "tag", "v2.0.0")

    run(project, "cruft", "update", "--skip-apply-ask", "--checkout", "v2.0.0")
    assert (project / RELEASE).read_text() == deployed
    assert (project / "docs" / "news.md").read_text() == "# News for Churn Risk\n"
    assert (project / "LICENSE").read_text() == "A new licence for churn-risk.\n"
    assert (project / "Makefile").read_text().endswith("# ours\n")
