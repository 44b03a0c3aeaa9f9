"""The rules of the house that a reader cannot hold in mind: names, places, pins."""

import re
import stat
import subprocess

import pytest
import yaml

PINNED = re.compile(r"uses:\s+[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*$")
LOCAL = re.compile(r"uses:\s+[.$]/[\w./-]+$")
NAMELESS = {"common", "helper", "helpers", "manager", "misc", "util", "utils"}


def test_a_module_is_named_by_what_it_is(tracked):
    assert [
        path
        for path in tracked
        if path.suffix == ".py" and NAMELESS & set(re.split(r"[_/]", str(path.with_suffix(""))))
    ] == []


def test_no_module_holds_more_than_one_idea(root, tracked):
    modules = [path for path in tracked if path.suffix == ".py" and path.parts[0] != "tests"]
    lines = {path: (root / path).read_text().count("\n") for path in modules}
    assert {path: count for path, count in lines.items() if count > 400} == {}


def test_nothing_is_a_symbolic_link(root, tracked):
    # A zip and a Windows clone turn one into a text file, in silence.
    assert [path for path in tracked if stat.S_ISLNK((root / path).lstat().st_mode)] == []


def test_no_live_file_holds_the_generator_s_language(root, tracked):
    mark = re.compile(r"\{\{-?\s*cookiecutter|\{%")
    elsewhere = {"hooks", "cookiecutter.json", "{{cookiecutter.repo_slug}}", "tests"}
    template_only = {"docs/template.md"}  # speaks about it
    live = [
        path
        for path in tracked
        if path.parts[0] not in elsewhere
        and str(path) not in template_only
        and path.suffix in {".py", ".yml", ".yaml", ".md", ".toml"}
    ]
    assert [path for path in live if mark.search((root / path).read_text())] == []


def workflows(root, tracked):
    return {path: (root / path).read_text() for path in tracked if path.parts[:2] == (".github", "workflows")}


def test_every_action_is_pinned_by_its_sha_with_the_version_beside_it(root, tracked):
    uses = [
        line.strip("- ")
        for text in workflows(root, tracked).values()
        for line in map(str.strip, text.splitlines())
        if re.match(r"(- )?uses:", line)
    ]
    assert uses
    assert [line for line in uses if not PINNED.match(line) and not LOCAL.match(line)] == []


def test_a_workflow_has_no_right_that_a_job_did_not_ask_for(root, tracked):
    for path, text in workflows(root, tracked).items():
        document = yaml.safe_load(text)
        assert document["permissions"] == {}, path
        for name, job in document["jobs"].items():
            assert "permissions" in job, f"{path}: {name}"
            assert "timeout-minutes" in job or "uses" in job, f"{path}: {name}"
            assert job.get("secrets") != "inherit", f"{path}: {name}"


def test_a_workflow_calls_targets_that_people_call(root, tracked):
    makefile = (root / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    targets |= {f"environment-{name}" for name in ("train", "serve", "validate", "clients")}
    called = [name for text in workflows(root, tracked).values() for name in re.findall(r"\bmake ([a-z0-9-]+)", text)]
    assert called
    assert set(called) <= targets


def test_help_names_every_target(root):
    makefile = (root / "Makefile").read_text()
    shown = subprocess.run(["make", "help"], cwd=root, check=True, capture_output=True, text=True).stdout
    inner = {f"environment-{name}" for name in ("train", "serve", "validate", "clients")} | {"kustomize", "bundle"}
    phony = {name for line in re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE) for name in line.split()}
    assert {name for name in phony if re.search(rf"^  {name} ", shown, re.MULTILINE)} == phony - inner


PLANTED = {
    "a key of AWS": ("config.py", 'KEY = "AKIA' + 'Q3EGRIK7VUAE2XZ4"\n'),
    "a password": ("conf.yml", 'password: "hunter2' + 'hunter2"\n'),
    "a hexadecimal token": ("conf.json", '{"token": "' + "0123456789abcdef" * 2 + 'fedc1a2b"}\n'),
    "a token beside a digest": (
        "conf.json",
        f'{{"digest": "sha256:{"a1" * 32}", "api_' + f'key": "{"9f3b1c7e" * 5}"}}\n',
    ),
}
DIGESTS = {
    "kustomization.yaml": f"images:\n  - name: server\n    newTag: 7-0123456789ab@sha256:{'b7e1' * 16}\n",
    "provenance.json": f'{{\n "git_sha": "{"9c09" * 10}",\n "inputs_hash": "{"b7e1" * 16}",\n "digest": "sha256:{"b7e1" * 16}"\n}}\n',
    "ci.yml": f"      - uses: actions/checkout@{'3d3c42e5' * 5} # v7.0.1\n",
    "Dockerfile": f"FROM python:3.11-slim@sha256:{'b7e1' * 16}\n",
}


@pytest.fixture
def scan(root, environments, tmp_path):
    def scan(name, text):
        (tmp_path / name).write_text(text)
        hook = environments["train"].parent / "detect-secrets-hook"
        command = [hook, "--baseline", root / ".secrets.baseline", name]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).returncode

    return scan


@pytest.mark.parametrize(("name", "text"), PLANTED.values(), ids=PLANTED)
def test_a_secret_is_found(scan, name, text):
    assert scan(name, text) == 1


@pytest.mark.parametrize(("name", "text"), DIGESTS.items(), ids=DIGESTS)
def test_a_digest_is_no_secret(scan, name, text):
    assert scan(name, text) == 0
