"""What serving/Dockerfile promises, read from it; tests/release/test_container_runs.py builds and runs it."""

import json
import re
from pathlib import Path

import pytest

from release import container, image

INSTRUCTION = re.compile(r"^([A-Z]+) (.*)$")


@pytest.fixture(scope="module")
def instructions(root: Path) -> list[tuple[str, str]]:
    text = (root / "serving" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [INSTRUCTION.match(line).groups() for line in text.splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def last_stage(instructions: list[tuple[str, str]]) -> dict[str, list[str]]:
    start = max(place for place, (name, _) in enumerate(instructions) if name == "FROM")
    stage: dict[str, list[str]] = {}
    for name, value in instructions[start:]:
        stage.setdefault(name, []).append(value)
    return stage


def test_it_runs_as_a_user_who_owns_nothing(last_stage: dict[str, list[str]]) -> None:
    (user,) = last_stage["USER"]
    assert min(int(number) for number in user.split(":")) >= 10_000


def test_it_starts_the_server_without_a_shell_and_leaves_health_to_the_platform(
    last_stage: dict[str, list[str]],
) -> None:
    assert json.loads(last_stage["ENTRYPOINT"][0]) == ["python", "-m", "serving"]
    assert json.loads(last_stage["CMD"][0])[0] == "--bundle=/srv/bundle"
    assert "HEALTHCHECK" not in last_stage


def test_it_is_arranged_as_the_image_that_the_release_builds_without_a_builder(
    instructions: list[tuple[str, str]], last_stage: dict[str, list[str]]
) -> None:
    assert last_stage["USER"] == [f"{image.USER}:{image.USER}"]
    runtime = instructions.index(("FROM", "scratch AS runtime"))
    assert ("WORKDIR", f"/{image.HOME}") in instructions[runtime:]


def test_it_says_what_it_holds(last_stage: dict[str, list[str]]) -> None:
    (labels,) = last_stage["LABEL"]
    assert set(re.findall(r"([a-z.]+)=", labels)) == {*image.LABELS, "org.opencontainers.image.base.name"}


def test_the_base_is_the_builders_to_choose_and_nothing_of_it_comes_along_unseen(
    instructions: list[tuple[str, str]],
) -> None:
    stages = [value.partition(" AS ") for name, value in instructions if name == "FROM"]
    assert [(base, name) for base, _, name in stages] == [
        ("${BASE}", "packages"),
        ("${BASE}", "code"),
        ("scratch", "runtime"),
        ("runtime", "verified"),
        ("runtime", ""),
    ]


def test_what_runs_after_the_base_needs_no_shell_and_verifies_the_bundle(instructions: list[tuple[str, str]]) -> None:
    scratch = next(place for place, (_, value) in enumerate(instructions) if value.startswith("scratch"))
    (run,) = [value for name, value in instructions[scratch:] if name == "RUN"]
    program, flag, script = json.loads(run)
    assert (program, flag) == ("python", "-c")
    assert "bundle.load('bundle', os.environ.get('BUNDLE_DIGEST')" in script
    assert ".verify_golden()" in script


def test_where_packages_come_from_is_mounted_and_never_copied(instructions: list[tuple[str, str]]) -> None:
    (install,) = [value for name, value in instructions if name == "RUN" and "pip install" in value]
    assert re.findall(r"--mount=type=secret,id=(\S+),target=(\S+)", install) == [
        ("pip.conf", "/etc/pip.conf"),
        ("ca.crt", container.CERTIFICATE),
    ]
    assert not [value for name, value in instructions if name in ("ARG", "ENV") and re.search("PIP|INDEX", value)]


def test_it_copies_only_what_is_sent_to_the_builder(root: Path, instructions: list[tuple[str, str]]) -> None:
    lines = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    words = [value.split()[:-1] for name, value in instructions if name == "COPY" and "--from=" not in value]
    copied = {source for sources in words for source in sources} - {"${BUNDLE}"}
    assert {source for source in copied if not {source, source.split("/")[0]} & allowed} == set()
    assert "data/bundles" in allowed
