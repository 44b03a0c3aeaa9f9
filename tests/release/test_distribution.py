"""Which registry is meant, and one line where there is none."""

import pytest

from release import distribution
from release.distribution import Repository
from tests.release.workshop import release


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(distribution, "FIRST_PAUSE", 0.01)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def push(images, place):
    return release("push", "--image", images["one"], "--to", place, "--layout", str(images.layout))


@pytest.mark.parametrize("place", ["ghcr.io", "ghcr.io/Team/Model", "ftp://host/x", "host/x:tag", "host/x@sha256:0"])
def test_a_place_is_a_registry_and_a_name(images, place):
    outcome = push(images, place)
    assert outcome.code == 2
    assert "is no registry/name" in outcome.error


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("ghcr.io/team/model", "https://ghcr.io"),
        ("localhost:5000/model", "http://localhost:5000"),
        ("127.0.0.1:5000/team/model", "http://127.0.0.1:5000"),
        ("http://registry.internal/model", "http://registry.internal"),
        ("https://localhost/model", "https://localhost"),
    ],
)
def test_only_this_machine_is_asked_without_tls_unless_it_is_said(place, address):
    assert Repository.at(place).address == address


def test_nobody_there_is_one_line(images):
    outcome = push(images, "127.0.0.1:9/team/model")
    assert (outcome.code, outcome.error.count("\n")) == (2, 1)
    assert "Connection refused" in outcome.error


def test_without_a_place_it_is_the_one_that_gitops_names(alone, images):
    for file in (alone.path / "gitops/envs").glob("*/release/kustomization.yaml"):
        name = next(line for line in file.read_text().splitlines() if "newName:" in line)
        file.write_text(file.read_text().replace(name, "    newName: 127.0.0.1:9/team/model"))
    outcome = alone.run("push", "--image", images["one"], "--layout", str(images.layout))
    assert "127.0.0.1:9/team/model: registry:" in outcome.error
