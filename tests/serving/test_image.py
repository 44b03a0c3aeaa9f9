"""What serving/Dockerfile promises, read from it; building it needs a builder and a network."""

import json
import re
from pathlib import Path

import pytest

from release import image

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
    last_stage: dict[str, list[str]],
) -> None:
    assert last_stage["USER"] == [f"{image.USER}:{image.USER}"]
    assert last_stage["WORKDIR"] == [f"/{image.HOME}"]


def test_it_says_what_it_holds(last_stage: dict[str, list[str]]) -> None:
    (labels,) = last_stage["LABEL"]
    assert set(re.findall(r"([a-z.]+)=", labels)) == {
        "org.opencontainers.image.title",
        "org.opencontainers.image.version",
        "org.opencontainers.image.revision",
        "ml.bundle.digest",
    }


def test_the_base_is_the_builders_to_choose_and_the_bundle_is_verified(instructions: list[tuple[str, str]]) -> None:
    assert {value.split(" AS ")[0] for name, value in instructions if name == "FROM"} == {"${BASE}"}
    verified = [value for name, value in instructions if name == "RUN" and "verify_golden" in value]
    assert len(verified) == 1
    assert "bundle.load('bundle', '${BUNDLE_DIGEST" in verified[0]


def test_it_copies_only_what_is_sent_to_the_builder(root: Path, instructions: list[tuple[str, str]]) -> None:
    allowed = {
        line[1:] for line in (root / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")
    }
    copied = {value.split()[0] for name, value in instructions if name == "COPY" and "--from=" not in value}
    assert {source.split("/")[0] for source in copied - {"${BUNDLE}"}} <= allowed
    assert "data/bundles" in allowed
