"""The documents hold: a link leads somewhere, a path that is named is there, a target can be called."""

import re
from pathlib import Path

import pytest

LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")
CODE = re.compile(r"`([^`\n]+)`")
TARGET = re.compile(r"\bmake ([a-z][a-z0-9-]*)")
INDENTED = re.compile(r"^ {4}(.*)$", re.MULTILINE)
PLACEHOLDER = re.compile(r"[<>*{}…$ ]|\.\.\.")


@pytest.fixture(scope="module")
def documents(root, tracked):
    ours = [path for path in tracked if path.suffix == ".md" and "cookiecutter" not in path.parts[0]]
    return {path: (root / path).read_text() for path in ours}


def test_every_link_leads_somewhere(root, documents):
    broken = [
        f"{path}: {link}"
        for path, text in documents.items()
        for link in LINK.findall(text)
        if not (root / path.parent / link).exists()
    ]
    assert broken == []


def test_every_path_that_is_named_is_there(root, tracked, documents):
    rooms = {path.parts[0] for path in tracked if len(path.parts) > 1}
    folders = {str(parent) for path in tracked for parent in path.parents}
    known = folders | {str(path) for path in tracked}

    def missing(word: str) -> bool:
        name = word.rstrip("/").split(":")[0]
        is_path = "/" in word and Path(name).parts[0] in rooms and not PLACEHOLDER.search(word)
        return is_path and name not in known

    gone = [f"{path}: {word}" for path, text in documents.items() for word in CODE.findall(text) if missing(word)]
    assert gone == []


def test_every_target_that_is_named_can_be_called(root, documents):
    targets = set(re.findall(r"^([a-z0-9-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    unknown = [
        f"{path}: make {name}"
        for path, text in documents.items()
        for code in (*CODE.findall(text), *INDENTED.findall(text))
        for name in TARGET.findall(code)
        if name not in targets
    ]
    assert unknown == []


def test_a_plugin_of_kubectl_is_named_before_any_flag(documents):
    """kubectl refuses it otherwise: "flags cannot be placed before plugin name"."""
    assert [
        path for path, text in documents.items() if re.search(r"\bkubectl -\S+ [^|;`\n]*\bargo rollouts\b", text)
    ] == []


def test_the_readme_says_the_two_commands_on_its_first_screen(root):
    first = (root / "README.md").read_text().splitlines()[:30]
    assert [line.split("#")[0].strip() for line in first if line.startswith("    make ")] == ["make demo", "make test"]
