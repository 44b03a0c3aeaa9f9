"""What a repository lacks for a release, each with the way out."""

import json
import re
import subprocess

import pytest

from contracts.checks import Check
from release import doctor, pin
from tests.release.workshop import PRODUCTION, ROOT


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    for name in ("PROMETHEUS_URL", "REGISTRY_TOKEN", "GITHUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def ask(repository, *words):
    layout = ("--layout", str(repository.images.layout))
    outcome = repository.run("doctor", "--json", *layout, *words)
    found = {each["name"]: (each["status"], each["detail"]) for each in json.loads(outcome.output)}
    return outcome.code, found


def test_a_good_repository_lacks_nothing_that_keeps_it_from_a_release(repository):
    code, found = ask(repository)
    assert code == 0, found
    assert {name for name, (status, _) in found.items() if status == "fail"} == set()
    assert found["images"][0] == "pass"
    assert "nothing keeps it from a release" in repository.run("doctor").output


def test_without_a_remote_this_clone_is_the_truth(alone):
    assert ask(alone)[1]["remote"][0] == "warn"


def test_argo_cd_must_watch_what_is_pushed_to(shared):
    status, detail = ask(shared)[1]["remote"]
    assert status == "warn"
    assert "has Argo CD watch https://github.com/" in detail
    watched = detail.partition("has Argo CD watch ")[2].removesuffix(": one of them is wrong")
    shared.git("remote", "set-url", "origin", watched)
    assert ask(shared)[1]["remote"][0] == "pass"
    host, _, rest = watched.removeprefix("https://").partition("/")
    shared.git("remote", "set-url", "origin", f"git@{host}:{rest.removesuffix('.git')}")
    assert ask(shared)[1]["remote"][0] == "pass"


def test_what_is_not_rendered_is_to_mend(alone):
    place = alone.path / "conf/base/budgets.yml"
    place.write_text(re.sub(r"latency_p99_ms: \d", "latency_p99_ms: 9", place.read_text()))
    code, found = ask(alone)
    assert code == 1
    assert "`make render`" in found["budgets"][1]
    assert "1 to mend before a release" in alone.run("doctor").output


def test_budgets_that_cannot_be_read_are_to_mend(alone):
    alone.write("conf/base/budgets.yml", "format: 2\n")
    assert ask(alone)[1]["budgets"][0] == "fail"


def test_a_shallow_clone_is_to_mend(shared, tmp_path):
    shared.released("staging", "one")
    place = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{shared.origin}", str(place)], check=True)
    shared.path = place
    code, found = ask(shared)
    assert code == 1
    assert found["history"] == ("fail", "shallow: `git fetch --unshallow`")


def test_a_line_that_no_release_wrote_is_seen(alone):
    place = alone.path / PRODUCTION
    place.write_bytes(pin.write(place.read_bytes(), pin.parse(alone.images["one"], ""), ""))
    alone.git("add", "-A")
    alone.git("commit", "-q", "--amend", "-m", "Start with a digest")
    assert ask(alone)[1]["production"][0] == "warn"


def test_a_release_file_that_is_broken_is_to_mend(alone):
    alone.write(PRODUCTION, "kind: Kustomization\n")
    alone.commit("Break it")
    code, found = ask(alone)
    assert (code, found["production"][0]) == (1, "fail")


def test_production_needs_a_second_pair_of_eyes(alone):
    assert ask(alone)[1]["second pair of eyes"][0] == "warn"
    alone.write(".github/CODEOWNERS", (ROOT / ".github/CODEOWNERS").read_text())
    assert ask(alone)[1]["second pair of eyes"][0] == "pass"
    alone.write(".github/CODEOWNERS", f"* @everybody\n/{PRODUCTION}\n")
    assert ask(alone)[1]["second pair of eyes"][0] == "warn"


def test_what_the_environment_says_is_seen(alone, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_URL", "https://prometheus.example.com")
    monkeypatch.setenv("REGISTRY_TOKEN", "x")
    found = ask(alone)[1]
    assert (found["error budget"][0], found["registry"]) == ("pass", ("pass", "credentials are there"))


def test_what_has_to_be_mended_comes_first_and_what_is_unknown_is_no_reason_against_a_release():
    unknown = Check(gate="github", name="App", status="not_run", detail="not shown to this token", blocking=False)
    broken = Check(gate="repository", name="history", status="fail", detail="shallow")
    lines = doctor.text((unknown, broken)).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["MEND", "unknown"]
